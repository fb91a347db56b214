import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import * as Packages from "../../src/run/Packages.ts"

const failed = (code: string, message: string) => Object.assign(new Error(message), { code })

describe("Packages", () => {
  it("names the absent package and its command", () => {
    for (
      const [code, message, name, command] of [
        ["ERR_MODULE_NOT_FOUND", "Cannot find package 'a' imported from /x/y.js", "a", "npm install a"],
        ["ERR_MODULE_NOT_FOUND", "Cannot find package '@a/b' imported from /x/y.js", "@a/b", "npm install @a/b"],
        ["MODULE_NOT_FOUND", "Cannot find module '@a/b/c.node'\nRequire stack:\n- /x", "@a/b", "npm install @a/b"],
        [
          "ERR_MODULE_NOT_FOUND",
          "Cannot find package 'onnxruntime-node' imported from /x/y.js",
          "onnxruntime-node",
          "ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node"
        ]
      ] as const
    ) {
      const error = Packages.explain(failed(code, message))
      assert.instanceOf(error, Packages.MissingPackage)
      assert.strictEqual(error.name, name)
      assert.strictEqual(error.command, command)
      assert.include(error.message, command)
    }
  })

  it("leaves every other failure as it is", () => {
    for (
      const error of [
        failed("ERR_MODULE_NOT_FOUND", "Cannot find module '/x/y.js' imported from /x/z.js"),
        failed("MODULE_NOT_FOUND", "Cannot find module '../bin/x.node'"),
        failed("ERR_DLOPEN_FAILED", "Cannot find package 'a'"),
        new Error("Cannot find package 'a'")
      ]
    ) assert.strictEqual(Packages.explain(error), error)
  })

  it("throws for a package that is required and absent, and loads another once", () => {
    const require = createRequire(import.meta.url)
    assert.throws(Packages.required("a-package-that-nobody-has", require), /npm install a-package-that-nobody-has/)
    const entities = Packages.required<{ decodeHTML(text: string): string }>("entities", require)
    assert.strictEqual(entities().decodeHTML("&amp;"), "&")
    assert.strictEqual(entities(), entities())
  })

  it.effect("fails with the package that an import lacks, and dies of anything else", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Packages.load(() => Promise.reject(failed("ERR_MODULE_NOT_FOUND", "Cannot find package 'a' imported from /x")))
      )
      assert.strictEqual(error._tag, "MissingPackage")
      const exit = yield* Effect.exit(Packages.load(() => Promise.reject(new Error("broken"))))
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.every((reason) => reason._tag === "Die"))
      assert.strictEqual(yield* Packages.load(() => Promise.resolve(3)), 3)
    }))
})
