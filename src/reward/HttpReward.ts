/**
 * Reward from an HTTP server: a batch of groups is posted as JSON, and the response contains its rewards as JSON.
 *
 * A candidate that is no item is -1 in the request; the server decides its reward.
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
    /** Number of the user. */
    user: Schema.Int,
    /** Item numbers, oldest first. */
    history: Schema.Array(Schema.Int),
    /** Item number of the answer; -1 where it is not known. */
    target: Schema.Int,
    /** Item numbers of the candidates in rank order, [G]; -1 for a candidate that is no item. */
    items: Schema.Array(Schema.Int),
    /** Whether each candidate's SID is the target's, [G]. */
    hits: Schema.Array(Schema.Boolean)
  }))
})

/**
 * Body of the response: for each group, in the order of the request, one finite number per candidate, or null where the
 * reward does not apply.
 */
export const Answer = Schema.Struct({ rewards: Schema.Array(Schema.NullOr(Schema.Array(Schema.Finite))) })

/** Options of the requests. */
export interface HttpRewardOptions {
  /** Address of the server; errors show it without its query and user. */
  readonly url: string
  /** Name of the reward. @default http */
  readonly name?: string | undefined
  /** Headers of every request; access keys belong here, because no error shows them. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Time limit of each attempt, from the request to the last byte of the response. @default 30 seconds */
  readonly timeout?: Duration.Input | undefined
  /**
   * Number of retries, after 0.1 s, 0.2 s, 0.4 s ..., at most 10 s, if the connection fails, the time limit is exceeded
   * or the status is 408, 429, 500, 502, 503 or 504; other failures are not retried. @default 2
   */
  readonly retries?: number | undefined
}

/** Describes a failure at an address without its query and user; the message is cut to 300 characters. */
const described = (url: string, message: string): string => {
  const whole = UrlParams.redactUrl(url)
  const shown = whole.split(/[?#]/, 1)[0]!
  const words = message.replaceAll(whole, shown)
  return `${shown}: ${words.length > 300 ? `${words.slice(0, 300)} ...` : words}`
}

/** Provides the reward; a layer such as `FetchHttpClient.layer` provides the client. */
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
