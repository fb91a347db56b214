import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type AddressInfo } from "node:net"
import * as HttpReward from "../../src/reward/HttpReward.ts"
import { type RewardGroup } from "../../src/reward/Reward.ts"
import { RewardActor, type WeightedReward } from "../../src/reward/RewardActor.ts"

type Reply = (response: ServerResponse, question: typeof HttpReward.Question.Type, request: IncomingMessage) => void

/** A server that answers its calls with these replies, the last one again and again. */
const serve = (...replies: ReadonlyArray<Reply>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const seen = { calls: 0, aborted: 0 }
      const server = createServer((request, response) => {
        const reply = replies[Math.min(seen.calls++, replies.length - 1)]!
        let body = ""
        response.on("close", () => {
          if (!response.writableFinished) seen.aborted++
        })
        request.on("data", (chunk) => (body += String(chunk)))
        request.on("end", () =>
          reply(response, Schema.decodeSync(Schema.fromJsonString(HttpReward.Question))(body), request))
      })
      await new Promise<void>((resolve) =>
        server.listen(0, "127.0.0.1", resolve)
      )
      return { seen, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/score` }
    }),
    ({ server }) =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      })
  )

const say = (body: unknown, status = 200): Reply => (response) => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(typeof body === "string" ? body : JSON.stringify(body))
}
const double: Reply = (response, { groups }, request) =>
  say({ rewards: groups.map(({ items }) => items.map((item) => 2 * item)) })(response, { reward: "", groups }, request)

const groups: ReadonlyArray<RewardGroup> = [[1, 2, -1], [3, 4, 5]].map((items, user) => ({
  user,
  history: Int32Array.of(7, 8),
  target: 4,
  items: Int32Array.from(items),
  hits: items.map((item) => item === 4)
}))

const ask = (options: HttpReward.HttpRewardOptions, more: Partial<WeightedReward> = {}) =>
  Effect.flatMap(RewardActor, (actor) => actor.score(groups)).pipe(
    Effect.provide(
      Layer.provide(
        RewardActor.layer([{ ...more, reward: HttpReward.layer(options), weight: 1 }]),
        FetchHttpClient.layer
      )
    )
  )

describe("a reward over HTTP", () => {
  it.live("posts the batch and reads numbers or null", () =>
    Effect.gen(function*() {
      let asked: unknown
      let header: string | undefined
      const { url } = yield* serve((response, question, request) => {
        asked = question
        header = request.headers["authorization"]
        say({ rewards: [[0.5, -1, 0], null] })(response, question, request)
      })
      const [first, second] = yield* ask({ url, name: "remote", headers: { authorization: "Bearer key" } })
      assert.deepStrictEqual([...first!.total], [0.5, -1, 0])
      assert.isNull(second!.parts["remote"])
      assert.strictEqual(header, "Bearer key")
      assert.deepStrictEqual(asked, {
        reward: "remote",
        groups: [
          { user: 0, history: [7, 8], target: 4, items: [1, 2, -1], hits: [false, false, false] },
          { user: 1, history: [7, 8], target: 4, items: [3, 4, 5], hits: [false, true, false] }
        ]
      })
    }).pipe(Effect.scoped))

  it.live("asks again after a status that may pass, and not after one that cannot", () =>
    Effect.gen(function*() {
      const shaky = yield* serve(say("busy", 503), say("oops", 500), double)
      const [first] = yield* ask({ url: shaky.url })
      assert.deepStrictEqual([...first!.total], [2, 4, -2])
      assert.strictEqual(shaky.seen.calls, 3)
      const down = yield* serve(say("oops", 500))
      const failed = yield* Effect.flip(ask({ url: down.url, retries: 1 }))
      assert.strictEqual(failed._tag, "RewardError")
      assert.strictEqual(failed.reason._tag, "RewardFailed")
      assert.include(failed.message, "500")
      assert.include(failed.message, down.url)
      assert.strictEqual(down.seen.calls, 2)
      const unknown = yield* serve(say("no such path", 404))
      assert.include((yield* Effect.flip(ask({ url: unknown.url }))).message, "404")
      assert.strictEqual(unknown.seen.calls, 1)
    }).pipe(Effect.scoped))

  it.live("does not wait for a server that hangs, before its answer or within it", () =>
    Effect.gen(function*() {
      const half: Reply = (response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.write("{\"rewards\":[[1,")
      }
      for (const reply of [() => {}, half]) {
        const { seen, url } = yield* serve(reply)
        const failed = yield* Effect.flip(ask({ url, timeout: "60 millis", retries: 1 }))
        assert.strictEqual(failed.reason._tag, "TooSlow")
        assert.include(failed.message, "60ms")
        while (seen.aborted < 2) yield* Effect.sleep("5 millis")
        assert.strictEqual(seen.calls, 2)
      }
    }).pipe(Effect.scoped))

  it.live("drops an answer that comes too late and takes that of the next try", () =>
    Effect.gen(function*() {
      const { url } = yield* serve(
        (...all) => void setTimeout(() => say({ rewards: [[9, 9, 9], [9, 9, 9]] })(...all), 150),
        double
      )
      const [first, second] = yield* ask({ url, timeout: "50 millis", retries: 3 })
      yield* Effect.sleep("150 millis")
      assert.deepStrictEqual([...first!.total, ...second!.total], [2, 4, -2, 6, 8, 10])
    }).pipe(Effect.scoped))

  const wrong: ReadonlyArray<readonly [string, unknown, string, string]> = [
    ["NaN", "{\"rewards\":[[1,2,NaN],null]}", "RewardFailed", "Decode"],
    ["infinity", "{\"rewards\":[[1,2,1e999],null]}", "RewardFailed", "rewards"],
    ["a missing number", { rewards: [[1, null, 2], null] }, "RewardFailed", "rewards"],
    ["a number beyond 32 bits", { rewards: [[1, 2, 1e40], null] }, "NotFinite", "candidate 2 of group 0"],
    ["too few numbers", { rewards: [[1, 2], null] }, "WrongCount", "3 candidates but received 2"],
    ["too many numbers", { rewards: [null, [1, 2, 3, 4]] }, "WrongCount", "group 1 has 3 candidates but received 4"],
    ["too few groups", { rewards: [[1, 2, 3]] }, "WrongCount", "group 1 has 3 candidates but received 0"],
    ["too many groups", { rewards: [null, null, null] }, "WrongGroups", "2 groups and returned results for 3"],
    ["another shape", { scores: [] }, "RewardFailed", "rewards"],
    ["a page", "<html>", "RewardFailed", "http"],
    ["nothing", "", "RewardFailed", "http"]
  ]
  for (const [name, body, tag, words] of wrong) {
    it.live(`refuses ${name}, or goes on without it where that is its policy`, () =>
      Effect.gen(function*() {
        const { seen, url } = yield* serve(say(body))
        const failed = yield* Effect.flip(ask({ url }))
        assert.strictEqual(failed._tag, "RewardError")
        assert.strictEqual(failed.reason._tag, tag, failed.message)
        assert.include(failed.message, words)
        assert.isBelow(failed.message.length, 600)
        assert.strictEqual(seen.calls, 1)
        const [first] = yield* ask({ url }, { onFailure: "notApplicable" })
        assert.isNull(first!.parts["http"])
      }).pipe(Effect.scoped))
  }

  it.live("shows no query or user of an address", () =>
    Effect.gen(function*() {
      const { url } = yield* serve(say({}), say("no", 404))
      for (let call = 0; call < 2; call++) {
        const { message } = yield* Effect.flip(ask({ url: `${url}?token=abc` }))
        assert.include(message, url)
        assert.notInclude(message, "abc")
      }
      const { message } = yield* Effect.flip(ask({ url: url.replace("//", "//me:pass@"), retries: 0 }))
      assert.notInclude(message, "pass")
    }).pipe(Effect.scoped))

  it.live("fails in words where nobody listens", () =>
    Effect.gen(function*() {
      const url = yield* Effect.scoped(Effect.map(serve(double), (server) => server.url))
      const failed = yield* Effect.flip(ask({ url, retries: 1 }))
      assert.strictEqual(failed.reason._tag, "RewardFailed")
      assert.include(failed.message, url)
      assert.include((yield* Effect.flip(ask({ url: "not a url" }))).message, "not a url")
    }))
})
