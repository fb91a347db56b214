/**
 * The teacher of another process than the one that trains: it is read from the run, once it is there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Layers from "../../programs/Layers.ts"
import * as Prepare from "../../programs/Prepare.ts"
import * as Teachers from "../../programs/Teachers.ts"
import * as Tokenize from "../../programs/Tokenize.ts"

describe("a teacher that processes share", () => {
  it.live("is waited for, and scores as where it was trained", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "sidereal-teachers-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const told: Array<string> = []
      const heard: Console.Console = Object.assign(Object.create(console), { error: (text: string) => told.push(text) })
      const given = {
        shop: { users: 40, items: 30 },
        lsa: { width: 8 },
        tokenizer: { shape: { levels: 2, codes: 8 } }
      }
      const layer = (readOnly: boolean) =>
        Layers.layer({ run: join(folder, "run"), fresh: false, existing: readOnly, readOnly, given })
      const scores = (teacher: Effect.Success<ReturnType<typeof Teachers.make>>) =>
        Effect.map(
          teacher.scores([{ user: 0, items: Int32Array.of(1, 2) }, { user: 1, items: Int32Array.of(7) }]),
          ({ data }) => data
        )
      const worker = (kind: "sasrec" | "fusion") =>
        Effect.gen(function*() {
          return yield* scores(yield* Teachers.shared(kind, yield* Prepare.program()))
        }).pipe(Effect.scoped, Effect.provide(layer(true)))

      yield* Effect.gen(function*() {
        const prepared = yield* Prepare.program()
        yield* Tokenize.program()
        const waiting = yield* Effect.forkChild(worker("fusion"))
        while (!told.some((text) => text.includes("waits for SASRec, the teacher"))) yield* Effect.sleep("20 millis")
        assert.isUndefined(waiting.pollUnsafe())
        const fusion = yield* scores(yield* Teachers.make("fusion", prepared))
        const files = readdirSync(join(folder, "run", "checkpoints"))
        assert.deepStrictEqual(yield* Fiber.join(waiting), fusion)
        const sasRec = yield* scores(yield* Teachers.make("sasrec", prepared))
        assert.deepStrictEqual(yield* worker("sasrec"), sasRec)
        assert.notDeepEqual(sasRec, fusion)
        assert.deepStrictEqual(readdirSync(join(folder, "run", "checkpoints")), files)
      }).pipe(
        Effect.scoped,
        Effect.provide(layer(false)),
        Effect.provideService(Console.Console, heard)
      )
    }).pipe(Effect.scoped), 240_000)
})
