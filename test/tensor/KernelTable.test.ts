import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as KernelTable from "../../layers/KernelTable.ts"

const committed = readFileSync(fileURLToPath(new URL("../../docs/kernels.md", import.meta.url)), "utf8")

const row = (kernel: string) => KernelTable.rows().find((each) => each.kernel === kernel)

describe("KernelTable", () => {
  it("is what docs/kernels.md says", () => {
    const columns = KernelTable.loaded()
    const text = columns.length === 3
      ? committed
      : committed.replace(/, tensorflow \d+ of/, " of").split("\n").map((line) =>
        /^\| (`|kernel \| gradient)/.test(line) && !/^\| `.*differ/.test(line) ? line.replace(/ [^|]+ \|$/, "") : line
      ).join("\n").replace("| --- | --- | --- | --- | --- |", "| --- | --- | --- | --- |")
    assert.strictEqual(
      text,
      KernelTable.render(columns),
      "run `TFJS_NODE_HOME=... node layers/KernelTable.ts > docs/kernels.md`"
    )
  })

  it("tells what a backend has, and what can be differentiated", () => {
    assert.deepStrictEqual(row("Einsum"), { kernel: "Einsum", gradient: true, has: { onnx: true, reference: true } })
    assert.deepStrictEqual(row("Conv2D"), { kernel: "Conv2D", gradient: true, has: { onnx: false, reference: true } })
    assert.deepStrictEqual(row("SiderealRotary")?.has, { onnx: true, reference: false })
    assert.strictEqual(row("ArgMax")?.kernel, "ArgMax")
    assert.isUndefined(row("NoSuchKernel"))
  })
})
