import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type IncomingHttpHeaders } from "node:http"
import { type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { cli } from "../../programs/Commands.ts"
import * as Telemetry from "../../programs/Telemetry.ts"
import { float32, hostFloat32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}

interface Span {
  readonly name: string
  readonly spanId: string
  readonly parentSpanId?: string
}

interface Point {
  readonly asDouble?: number
  readonly asInt?: number | string
}

interface Sent {
  readonly resourceSpans?: ReadonlyArray<
    { readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }> }
  >
  readonly resourceMetrics?: ReadonlyArray<{
    readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
    readonly scopeMetrics: ReadonlyArray<{
      readonly metrics: ReadonlyArray<{ readonly name: string; readonly sum?: { readonly dataPoints: Array<Point> } }>
    }>
  }>
}

type Answer = Readonly<Record<string, number>> & { readonly counts: ReadonlyArray<{ readonly count: number }> }

/** What the collector was sent. */
const received: Array<{ readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: Sent }> = []
const collector = createServer((request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Sent
    received.push({ path: request.url ?? "", headers: request.headers, body })
    response.end("{}")
  })
})
const folder = mkdtempSync(join(tmpdir(), "sidereal-telemetry-"))
let address = ""
beforeAll(() =>
  new Promise<void>((resolve) =>
    collector.listen(0, "127.0.0.1", () => {
      address = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
      resolve()
    })
  )
)
afterAll(() => {
  collector.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs a command line in this process, in an environment; returns what it prints as JSON. */
const sidereal = (env: Record<string, string>, ...args: ReadonlyArray<string>) => {
  const out: Array<string> = []
  const heard: Console.Console = Object.assign(Object.create(console), {
    log: (text: string) => out.push(text),
    error: () => {}
  })
  return Command.runWith(cli, { version: "test" })(args).pipe(
    Effect.provide(Telemetry.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
    Effect.provideService(Console.Console, heard),
    Effect.provide(NodeServices.layer),
    Effect.map(() => JSON.parse(out.join("\n")) as Answer)
  )
}

const spans = () =>
  received.flatMap(({ body }) =>
    (body.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
  )

/** The last value sent of a counter. */
const total = (name: string) => {
  const points = received.flatMap(({ body }) =>
    (body.resourceMetrics ?? []).flatMap(({ scopeMetrics }) =>
      scopeMetrics.flatMap(({ metrics }) =>
        metrics.filter((metric) => metric.name === name).flatMap(({ sum }) => sum?.dataPoints ?? [])
      )
    )
  )
  const last = points.at(-1)
  return Number(last?.asDouble ?? last?.asInt)
}

describe("Telemetry", () => {
  it.live(
    "sends the spans and metrics of a command to the collector that the environment names",
    () =>
      Effect.gen(function*() {
        const env = {
          OTEL_EXPORTER_OTLP_ENDPOINT: `${address}/`,
          OTEL_EXPORTER_OTLP_HEADERS: "x-key=a%20b",
          OTEL_SERVICE_NAME: "shop"
        }
        const run = join(folder, "run")
        const data = yield* sidereal({}, "data", "--quick", "--run", run, "--json")
        yield* sidereal({}, "tokenize", "--run", run, "--json")
        assert.deepStrictEqual(received, [])

        const report = yield* sidereal(env, "sft", "--run", run, "--json")
        assert.deepStrictEqual([...new Set(received.map(({ path }) => path))].toSorted(), ["/v1/metrics", "/v1/traces"])
        assert.isTrue(received.every(({ headers }) => headers["x-key"] === "a b"))
        const resource = received.flatMap(({ body }) => body.resourceMetrics ?? [])[0]!.resource
        assert.strictEqual(resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue, "shop")

        const named = (name: string) => spans().filter((span) => span.name === name)
        for (const name of ["sft", "prepare", "tokenize", "Sft.train", "BeamSearch.searchAll", "Checkpointer.save"]) {
          assert.isNotEmpty(named(name), name)
        }
        assert.strictEqual(named("Sft.train")[0]!.parentSpanId, named("sft")[0]!.spanId)
        assert.isAbove(report["steps"]!, 0)
        assert.strictEqual(named("ParameterStore.apply").length, report["steps"])
        assert.strictEqual(total("sidereal.optimizer.steps"), report["steps"])
        // The codes of the training events, in every epoch.
        const codes = (data.counts.at(-1)!.count - 2 * data["users"]!) * 3 * report["epochs"]!
        assert.isAtMost(total("sidereal.sft.tokens"), codes)
        assert.isAbove(total("sidereal.sft.tokens"), 0.98 * codes)
        assert.strictEqual(total("sidereal.decode.users"), 100 * report["epochs"]!)
      }),
    120_000
  )

  it.live("says what of the environment cannot be used", () =>
    Effect.gen(function*() {
      const headers = (text: string) => ({
        OTEL_EXPORTER_OTLP_ENDPOINT: address,
        OTEL_EXPORTER_OTLP_HEADERS: text
      })
      for (
        const [env, name] of [
          [{ OTEL_EXPORTER_OTLP_ENDPOINT: "localhost 4318" }, "ENDPOINT: expected the address of a collector"],
          [headers("a=%"), "HEADERS: expected names and values"],
          [headers("secret"), "HEADERS: expected names and values"]
        ] as const
      ) {
        const error = yield* Effect.flip(sidereal(env, "data", "--run", join(folder, "none"), "--json"))
        assert.strictEqual(error._tag, "SettingsError")
        assert.include(error.message, `OTEL_EXPORTER_OTLP_${name}`)
      }
    }))

  it.live("a collector that does not answer changes nothing", () =>
    Effect.gen(function*() {
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" }
      assert.isAbove((yield* sidereal(env, "data", "--quick", "--run", join(folder, "other"), "--json"))["items"]!, 0)
    }), 240_000)

  it.live("live bytes are read from the runtime while it is open", () =>
    Effect.gen(function*() {
      const bytes = Effect.map(Metric.snapshot, (all) =>
        all.filter(({ id }) =>
          id === "sidereal.tensor.bytes"
        ).map(({ attributes, state }) => [
          attributes?.["backend"],
          (state as { readonly value: number }).value
        ]))
      yield* Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const double = yield* runtime.compile(
          make({ name: "double", inputs: { x: float32("B") }, body: ({ x }) => ({ y: x!.mul(2) }) })
        )
        assert.deepStrictEqual(yield* bytes, [["onnx-cpu", 0]])
        yield* Effect.scoped(Effect.gen(function*() {
          yield* double.run({ x: hostFloat32(new Float32Array(100), 100) })
          assert.deepStrictEqual(yield* bytes, [["onnx-cpu", 400]])
        }))
        assert.deepStrictEqual(yield* bytes, [["onnx-cpu", 0]])
      }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1 })))
      assert.deepStrictEqual(yield* bytes, [])
    }))

  it.live("calls that a worker thread has not answered are counted", () =>
    Effect.gen(function*() {
      const waiting = Effect.map(Metric.snapshot, (all) =>
        all.flatMap(({ id, state }) =>
          id === "sidereal.tensor.waiting" ? [(state as { readonly value: number }).value] : []
        ))
      const runtime = yield* TensorRuntime
      const double = yield* runtime.compile(
        make({ name: "double", inputs: { x: float32("B") }, body: ({ x }) => ({ y: x!.mul(2) }) })
      )
      assert.deepStrictEqual(yield* waiting, [0])
      const run = Effect.forkChild(double.run({ x: hostFloat32(new Float32Array(9), 9) }), { startImmediately: true })
      const runs = [yield* run, yield* run, yield* run]
      assert.deepStrictEqual(yield* waiting, [3])
      for (const one of runs) {
        yield* Fiber.join(one)
      }
      assert.deepStrictEqual(yield* waiting, [0])
    }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1, worker: true }))))
})
