/**
 * A reward of another process: a batch of groups is posted as JSON, and its rewards come back as JSON.
 *
 * What a candidate that is no item, -1 in the request, gets is for the server to say.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { failed, Reward, RewardError, TooSlow } from "./Reward.ts"
import { backoff } from "./RewardActor.ts"

/** Body of the request. */
export const Question = Schema.Struct({
  /** Name of the reward. */
  reward: Schema.String,
  groups: Schema.Array(Schema.Struct({
    user: Schema.Int,
    /** Item numbers, oldest first. */
    history: Schema.Array(Schema.Int),
    target: Schema.Int,
    /** Candidates, best first; -1 for one that is no item. */
    items: Schema.Array(Schema.Int),
    hits: Schema.Array(Schema.Boolean)
  }))
})

/** Body of the answer: finite numbers per candidate for each group in its order, or null where the reward does not apply. */
export const Answer = Schema.Struct({ rewards: Schema.Array(Schema.NullOr(Schema.Array(Schema.Finite))) })

/** How the server is asked. */
export interface HttpRewardOptions {
  readonly url: string
  /** @default http */
  readonly name?: string | undefined
  /** Keys belong here, where no error shows them, rather than into the address. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Time for each try, from the request to the last byte of the answer. @default 30 seconds */
  readonly timeout?: Duration.Input | undefined
  /**
   * Further tries, 0.1 s, 0.2 s, 0.4 s ... apart, after a lost connection, no answer in time, or the status 408, 429, 500,
   * 502, 503 or 504; others cannot help. @default 2
   */
  readonly retries?: number | undefined
}

/** Names an address and what went wrong there, without its query and user, and not at length. */
const described = (url: string, message: string): string => {
  const whole = UrlParams.redactUrl(url)
  const shown = whole.split(/[?#]/, 1)[0]!
  const words = message.replaceAll(whole, shown)
  return `${shown}: ${words.length > 300 ? `${words.slice(0, 300)} ...` : words}`
}

/** Provides the reward; the client comes from a layer such as `FetchHttpClient.layer`. */
export const layer = (
  { headers = {}, name = "http", retries = 2, timeout = "30 seconds", url }: HttpRewardOptions
): Layer.Layer<Reward, never, HttpClient.HttpClient> =>
  Reward.layerBatch(name, (groups) =>
    Effect.gen(function*() {
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      const request = yield* HttpClientRequest.post(url, { headers, acceptJson: true }).pipe(
        HttpClientRequest.schemaBodyJson(Question)({
          reward: name,
          groups: groups.map(({ history, hits, items, target, user }) => ({
            user,
            history: Array.from(history),
            target,
            items: Array.from(items),
            hits
          }))
        })
      )
      const { rewards } = yield* client.execute(request).pipe(
        Effect.flatMap(HttpClientResponse.schemaBodyJson(Answer)),
        Effect.timeout(timeout),
        Effect.retry({ schedule: backoff(retries), while: HttpClient.isTransientError })
      )
      return rewards
    }).pipe(
      Effect.mapError((error) =>
        Cause.isTimeoutError(error)
          ? new RewardError({
            reward: name,
            reason: new TooSlow({ waited: Duration.format(Duration.fromInputUnsafe(timeout)) })
          })
          : failed(name, described(url, error.message))
      )
    ))
