/**
 * A reward behind HTTP, with a time limit, retries and a stated treatment of its failure. The server of this example is
 * overloaded at first, then answers; another one is never reached, and the groups go on without it.
 *
 * Run it: `node examples/RemoteReward.ts`
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import { type AddressInfo } from "node:net"
import * as HttpReward from "sidereal/reward/HttpReward"
import { RewardActor } from "sidereal/reward/RewardActor"
import * as RuleReward from "sidereal/reward/RuleReward"

/** A server in any language answers {"rewards": [[...], ...]} to {"reward": ..., "groups": [{"items": [...]}, ...]}. */
const serve = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
    let requests = 0
    const server = createServer((request, response) => {
      let body = ""
      request.on("data", (chunk) => (body += String(chunk)))
      request.on("end", () => {
        if (requests++ === 0) return response.writeHead(503).end()
        const { groups } = JSON.parse(body) as { readonly groups: ReadonlyArray<{ readonly items: Array<number> }> }
        const rewards = groups.map(({ items }) => items.map((item) => item / 10))
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ rewards }))
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}/margin`, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const group = { user: 7, history: Int32Array.of(1), target: 3, items: Int32Array.of(2, 3), hits: [false, true] }

const program = Effect.gen(function*() {
  const { url } = yield* serve
  const rewards = RewardActor.layer([
    { reward: RuleReward.layer, weight: 1 },
    { reward: HttpReward.layer({ url, name: "margin", timeout: "2 seconds", retries: 3 }), weight: 1 },
    {
      reward: HttpReward.layer({ url: "http://127.0.0.1:9/absent", name: "absent", retries: 0 }),
      weight: 1,
      onFailure: "notApplicable"
    }
  ]).pipe(Layer.provide(FetchHttpClient.layer))
  const [earned] = yield* Effect.flatMap(RewardActor, (actor) => actor.score([group])).pipe(Effect.provide(rewards))
  const { parts, total } = earned!
  yield* Effect.sync(() =>
    console.log(
      `totals ${Array.from(total, (one) => one.toFixed(1)).join(" ")}, margin ${
        Array.from(parts["margin"]!, (one) => one.toFixed(1)).join(" ")
      }, absent ${parts["absent"] === null ? "not applicable" : "applied"}`
    )
  )
})
await Effect.runPromise(Effect.scoped(program))
