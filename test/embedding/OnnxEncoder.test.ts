import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as OnnxEncoder from "../../layers/onnx/OnnxEncoder.ts"
import * as OnnxProto from "../../layers/onnx/OnnxProto.ts"
import { EmbeddingError } from "../../src/embedding/EmbeddingError.ts"
import { TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance } from "../Golden.ts"

const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "pen", "##s", "ink", "note", "##book", ",", "the"]
const [V, D, F, longest] = [words.length, 8, 12, 24]

/** What tokenizers write of BERT's WordPiece. */
const tokenizerJson = JSON.stringify({
  version: "1.0",
  added_tokens: words.slice(0, 4).map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  })),
  normalizer: {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true
  },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "[CLS]", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "[SEP]", type_id: 0 } }
    ],
    pair: [],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] }
    }
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id]))
  }
})

const draw = Random.normal(2026)
const weights = Object.fromEntries(
  ([
    ["words", V, D],
    ["positions", longest, D],
    ["types", 2, D],
    ["q", D, D],
    ["k", D, D],
    ["v", D, D],
    ["o", D, D],
    ["up", D, F],
    ["down", F, D],
    ["gain", 1, D],
    ["bias", 1, D]
  ] as const).map(([name, rows, columns]) => [
    name,
    { rows, columns, data: Float32Array.from({ length: rows * columns }, () => 0.5 * draw()) }
  ])
)

/** One layer of BERT as a graph; `sentence` adds the mean of the states as rows of their own and hides these. */
const model = (kind: "states" | "rows" | "other-input"): Uint8Array => {
  const nodes: Array<OnnxProto.Node> = []
  let count = 0
  const node = (
    operator: string,
    inputs: ReadonlyArray<string>,
    attributes: OnnxProto.Node["attributes"] = {},
    name = `t${count++}`
  ) => {
    nodes.push({ operator, domain: "", inputs, outputs: [name], attributes })
    return name
  }
  const bytes = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const initializers: Array<OnnxProto.Initializer> = Object.entries(weights).map(([name, { columns, data, rows }]) => ({
    name,
    type: "float32",
    shape: rows === 1 ? [columns] : [rows, columns],
    bytes: bytes(data)
  }))
  const scalar = (name: string, value: number) => {
    initializers.push({ name, type: "float32", shape: [], bytes: bytes(Float32Array.of(value)) })
    return name
  }
  const integers = (name: string, values: ReadonlyArray<number>) => {
    initializers.push({
      name,
      type: "int64",
      shape: [values.length],
      bytes: bytes(BigInt64Array.from(values.map(BigInt)))
    })
    return name
  }
  const norm = (x: string) => node("LayerNormalization", [x, "gain", "bias"], { axis: -1, epsilon: { float: 1e-5 } })
  const T = node("Gather", [node("Shape", ["input_ids"]), integers("one", [1])], { axis: 0 })
  const places = node("Slice", ["positions", integers("zero", [0]), T, integers("axis0", [0])])
  const embedded = node("Add", [
    node("Add", [node("Gather", ["words", "input_ids"]), node("Gather", ["types", "token_type_ids"])]),
    places
  ])
  const x = norm(embedded)
  const mask = node("Mul", [
    node("Sub", [
      scalar("unit", 1),
      node("Unsqueeze", [node("Cast", ["attention_mask"], { to: OnnxProto.codeOf("float32") }), integers("axis1", [1])])
    ]),
    scalar("low", -1e9)
  ])
  const scores = node("Add", [
    node("Mul", [
      node("MatMul", [node("MatMul", [x, "q"]), node("Transpose", [node("MatMul", [x, "k"])], { perm: [0, 2, 1] })]),
      scalar("scale", 1 / Math.sqrt(D))
    ]),
    mask
  ])
  const attended = node("MatMul", [
    node("MatMul", [node("Softmax", [scores], { axis: -1 }), node("MatMul", [x, "v"])]),
    "o"
  ])
  const h = norm(node("Add", [x, attended]))
  const up = node("MatMul", [h, "up"])
  const gelu = node("Mul", [
    node("Mul", [up, scalar("half", 0.5)]),
    node("Add", [node("Erf", [node("Mul", [up, scalar("root", Math.SQRT1_2)])]), "unit"])
  ])
  const states = node("Add", [h, node("MatMul", [gelu, "down"])], {}, kind === "rows" ? "hidden" : "last_hidden_state")
  if (kind === "rows") node("ReduceMax", [states, "one"], { keepdims: 0 }, "sentence_embedding")
  const inputs = ["input_ids", "attention_mask", "token_type_ids", ...(kind === "other-input" ? ["pixels"] : [])]
  return OnnxProto.encode({
    name: "bert",
    nodes,
    initializers,
    inputs: inputs.map((name) => ({ name, type: "int64", shape: ["B", "T"] })),
    outputs: [
      kind === "rows"
        ? { name: "sentence_embedding", type: "float32", shape: ["B", D] }
        : { name: "last_hidden_state", type: "float32", shape: ["B", "T", D] }
    ]
  })
}

/** The same layer in float64 for one text. */
const oracle = (ids: ReadonlyArray<number>): ReadonlyArray<Float64Array> => {
  const of = (name: string) => weights[name]!
  const times = (rows: ReadonlyArray<Float64Array>, name: string) =>
    rows.map((row) =>
      Float64Array.from(
        { length: of(name).columns },
        (_, c) => row.reduce((sum, value, r) => sum + value * of(name).data[r * of(name).columns + c]!, 0)
      )
    )
  const norm = (rows: ReadonlyArray<Float64Array>) =>
    rows.map((row) => {
      const mean = row.reduce((a, b) => a + b, 0) / D
      const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / D
      return row.map((value, d) =>
        (value - mean) / Math.sqrt(variance + 1e-5) * of("gain").data[d]! + of("bias").data[d]!
      )
    })
  const plus = (a: ReadonlyArray<Float64Array>, b: ReadonlyArray<Float64Array>) =>
    a.map((row, r) => row.map((value, d) => value + b[r]![d]!))
  const x = norm(
    ids.map((id, t) =>
      Float64Array.from(
        { length: D },
        (_, d) => of("words").data[id * D + d]! + of("types").data[d]! + of("positions").data[t * D + d]!
      )
    )
  )
  const [q, k, v] = [times(x, "q"), times(x, "k"), times(x, "v")]
  const attended = q.map((row) => {
    const scores = k.map((other) => row.reduce((sum, value, d) => sum + value * other[d]!, 0) / Math.sqrt(D))
    const most = Math.max(...scores)
    const e = scores.map((score) => Math.exp(score - most))
    const total = e.reduce((a, b) => a + b, 0)
    return Float64Array.from({ length: D }, (_, d) => v.reduce((sum, other, t) => sum + e[t]! / total * other[d]!, 0))
  })
  const h = norm(plus(x, times(attended, "o")))
  const erf = (z: number) => {
    // Simpson's rule over the definition.
    const n = 200
    let sum = 0
    for (let i = 0; i <= n; i++) {
      sum += (i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-((z * i / n) ** 2))
    }
    return 2 / Math.sqrt(Math.PI) * sum * z / n / 3
  }
  const gelu = times(h, "up").map((row) => row.map((value) => value / 2 * (1 + erf(value * Math.SQRT1_2))))
  return plus(h, times(gelu, "down"))
}

const texts = [
  "red pens",
  "The blue notebook, the red ink",
  "",
  "ink",
  "blue pen, red pen, blue pen, red pen, blue pen, red pen, blue pen",
  "zebra"
]
const id = (word: string) => words.indexOf(word)
const idsOf: ReadonlyArray<ReadonlyArray<string>> = [
  ["red", "pen", "##s"],
  ["the", "blue", "note", "##book", ",", "the", "red", "ink"],
  [],
  ["ink"],
  [
    "blue",
    "pen",
    ",",
    "red",
    "pen",
    ",",
    "blue",
    "pen",
    ",",
    "red",
    "pen",
    ",",
    "blue",
    "pen",
    ",",
    "red",
    "pen",
    ",",
    "blue",
    "pen"
  ],
  ["[UNK]"]
]
const withEnds = (tokens: ReadonlyArray<string>, most: number) => {
  const all = [id("[CLS]"), ...tokens.map(id), id("[SEP]")]
  return all.length <= most ? all : [...all.slice(0, most - 1), id("[SEP]")]
}

const folderWith = Effect.fnUntraced(function*(files: Readonly<Record<string, string | Uint8Array>>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs.makeTempDirectoryScoped()
  for (const [name, content] of Object.entries(files)) {
    yield* fs.writeFile(path.join(folder, name), typeof content === "string" ? Buffer.from(content) : content)
  }
  return folder
})

const config = (values: typeof OnnxEncoder.OnnxEncoderConfig.Encoded) =>
  Schema.decodeSync(OnnxEncoder.OnnxEncoderConfig)(values)
const services = Layer.merge(NodeServices.layer, Progress.layerSilent)

const encoding = (
  values: Omit<typeof OnnxEncoder.OnnxEncoderConfig.Encoded, "path">,
  kind: Parameters<typeof model>[0] = "states",
  given = texts
) =>
  Effect.gen(function*() {
    const path = yield* folderWith({ "model.onnx": model(kind), "tokenizer.json": tokenizerJson })
    const kept = yield* folderWith({})
    return yield* Effect.flatMap(TextEncoder, (encoder) => encoder.fit(given, given)).pipe(
      Effect.map(({ embeddings }) => embeddings),
      Effect.provide(OnnxEncoder.layer(config({ path, ...values }), kept))
    )
  }).pipe(Effect.scoped)

describe("OnnxEncoder", () => {
  for (const pooling of ["mean", "cls", "last"] as const) {
    it.effect(`rows are those of the oracle: ${pooling}`, () =>
      Effect.gen(function*() {
        const found = yield* encoding({ pooling, maximumLength: 16, normalize: false, batch: 2 })
        assert.strictEqual(found.width, D)
        for (const [i, tokens] of idsOf.entries()) {
          const states = oracle(withEnds(tokens, 16))
          const expected = pooling === "cls"
            ? states[0]!
            : pooling === "last"
            ? states.at(-1)!
            : states[0]!.map((_, d) => states.reduce((sum, row) => sum + row[d]!, 0) / states.length)
          assert.isBelow(distance(Matrix.row(found, i), expected), 2e-5, texts[i])
        }
        const unit = yield* encoding({ pooling, maximumLength: 16, batch: 2 })
        assert.isBelow(distance(unit.data, Matrix.normalizeRows(found).data), 1e-6)
      }).pipe(Effect.provide(services)))
  }

  it.effect("neither batches nor the texts beside one change its row; a prefix does", () =>
    Effect.gen(function*() {
      const whole = yield* encoding({ batch: 64 })
      for (const batch of [1, 3]) assert.isBelow(distance((yield* encoding({ batch })).data, whole.data), 1e-5)
      const alone = yield* encoding({}, "states", [texts[1]!])
      assert.isBelow(distance(alone.data, Matrix.row(whole, 1)), 1e-5)
      const prefixed = yield* encoding({ prefix: "the " }, "states", ["ink"])
      const written = yield* encoding({}, "states", ["the ink"])
      assert.deepStrictEqual(prefixed, written)
    }).pipe(Effect.provide(services)))

  it.effect("encodes texts it was not fitted on, and refuses the model of another graph", () =>
    Effect.gen(function*() {
      const files = { "model.onnx": model("states"), "tokenizer.json": tokenizerJson }
      const layer = OnnxEncoder.layer(config({ path: yield* folderWith(files) }), yield* folderWith({}))
      yield* Effect.gen(function*() {
        const encoder = yield* TextEncoder
        const { embeddings, model: fitted } = yield* encoder.fit(texts, texts)
        const alone = yield* encoder.encode([texts[1]!], fitted)
        assert.isBelow(distance(alone.data, Matrix.row(embeddings, 1)), 1e-5)
        const error = yield* Effect.flip(encoder.encode(texts, { ...fitted, encoder: "onnx:another" }))
        assert.strictEqual(error.reason._tag, "OtherEncoder")
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("takes rows that the graph itself pooled", () =>
    Effect.gen(function*() {
      const found = yield* encoding({ normalize: false }, "rows", [texts[0]!])
      const states = oracle(withEnds(idsOf[0]!, 16))
      const expected = states[0]!.map((_, d) => Math.max(...states.map((row) => row[d]!)))
      assert.isBelow(distance(found.data, expected), 2e-5)
    }).pipe(Effect.provide(services)))

  it.effect("goes on after an interruption from the chunks that are kept, and leaves none", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* folderWith({ "model.onnx": model("states"), "tokenizer.json": tokenizerJson })
      const kept = yield* folderWith({})
      const many = Array.from(
        { length: 80 },
        (_, i) => `${"red pen ".repeat(1 + i % 5)}${i % 2 === 0 ? "ink" : "blue"}`
      )
      const settings = config({ path, batch: 1 })
      const whole = yield* Effect.flatMap(TextEncoder, (encoder) => encoder.fit(many, many)).pipe(
        Effect.provide(OnnxEncoder.layer(settings, yield* folderWith({})))
      )
      let shown = 0
      // Stops the run after its second chunk, as an interruption would.
      const stopping = Layer.succeed(
        Progress,
        Progress.of({
          start: () => ({
            update: () => {
              if (++shown > 40) throw new Error("stopped")
            },
            finish: () => {}
          }),
          part: () => ({ update: () => {}, finish: () => {} })
        })
      )
      yield* Effect.flatMap(TextEncoder, (encoder) => encoder.fit(many, many)).pipe(
        Effect.provide(OnnxEncoder.layer(settings, kept).pipe(Layer.provide(stopping))),
        Effect.exit
      )
      const files = yield* fs.readDirectory(kept)
      assert.isAbove(files.length, 0)
      let runs = 0
      const counting = Layer.succeed(
        Progress,
        Progress.of({
          start: () => ({ update: () => runs++, finish: () => {} }),
          part: () => ({ update: () => {}, finish: () => {} })
        })
      )
      const again = yield* Effect.flatMap(TextEncoder, (encoder) => encoder.fit(many, many)).pipe(
        Effect.provide(OnnxEncoder.layer(settings, kept).pipe(Layer.provide(counting)))
      )
      assert.deepStrictEqual(again, whole)
      assert.isBelow(runs, 80)
      assert.deepStrictEqual(yield* fs.readDirectory(kept), [])
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("refuses folders that it cannot use, naming file and reason", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [Readonly<Record<string, string | Uint8Array>>, string, string]> = [
        [{ "model.onnx": model("states") }, "BadFile", "tokenizer.json"],
        [{ "model.onnx": model("states"), "tokenizer.json": "{" }, "BadFile", "it is no tokenizer"],
        [{ "tokenizer.json": tokenizerJson }, "BadFile", "model.onnx"],
        [{ "tokenizer.json": tokenizerJson, "model.onnx": "not a graph" }, "BadFile", "model.onnx"],
        [{ "tokenizer.json": tokenizerJson, "model.onnx": model("other-input") }, "EncoderFailure", "\"pixels\""]
      ]
      for (const [files, tag, words] of cases) {
        const path = yield* folderWith(files)
        const error = yield* Effect.flatMap(TextEncoder, (encoder) => encoder.fit(texts, texts)).pipe(
          Effect.provide(OnnxEncoder.layer(config({ path }), path)),
          Effect.flip
        )
        assert.instanceOf(error, EmbeddingError)
        assert.strictEqual((error as EmbeddingError).reason._tag, tag, error.message)
        assert.include(error.message, words)
      }
    }).pipe(Effect.scoped, Effect.provide(services)))
})
