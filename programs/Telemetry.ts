/**
 * Traces, metrics and logs for an OpenTelemetry collector, if the environment names one.
 *
 * Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing is loaded and nothing is sent.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import packageJson from "../package.json" with { type: "json" }
import { SettingsError } from "./SettingsError.ts"

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
const headers = "OTEL_EXPORTER_OTLP_HEADERS"

const unusable = (problem: string) => new SettingsError({ source: "the environment", problems: [problem] })

const address = Effect.gen(function*() {
  const named = yield* Effect.orDie(Config.String(endpoint).pipe(Config.withDefault("")))
  if (named === "") return undefined
  const { href } = yield* Effect.mapError(
    Config.URL(endpoint),
    () => unusable(`${endpoint}: expected the address of a collector, such as http://127.0.0.1:4318, got ${named}`)
  )
  return href.replace(/\/$/, "")
})

const pairs = Effect.gen(function*() {
  const named = yield* Config.String(headers).pipe(Config.withDefault(""))
  if (named === "") return undefined
  const found = yield* Config.Record(Schema.String, Schema.StringFromUriComponent, headers)
  // A part without "=" is not a pair and would be dropped silently.
  return Object.keys(found).length === 0 ? yield* Effect.fail(named) : found
  // The value may be a secret.
}).pipe(Effect.mapError(() => unusable(`${headers}: expected names and values, such as a=1,b=2`)))

/** Exports spans, metrics and logs over OTLP (HTTP, JSON) until the Scope closes; then sends the remaining ones. */
export const layer: Layer.Layer<never, SettingsError> = Layer.unwrap(Effect.gen(function*() {
  const baseUrl = yield* address
  if (baseUrl === undefined) return Layer.empty
  const [Otlp, FetchHttpClient] = yield* Effect.promise(() =>
    Promise.all([import("effect/observability/Otlp"), import("effect/http/FetchHttpClient")])
  )
  return Otlp.layerJson({
    baseUrl,
    headers: yield* pairs,
    resource: {
      serviceName: yield* Effect.orDie(Config.String("OTEL_SERVICE_NAME").pipe(Config.withDefault(packageJson.name))),
      serviceVersion: packageJson.version
    }
  }).pipe(Layer.provide(FetchHttpClient.layer))
}))
