import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SidTokens from "../../src/policy/text/SidTokens.ts"
import * as TextCodec from "../../src/policy/text/TextCodec.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { type ItemTexts } from "../../src/task/ItemTexts.ts"
import * as Tasks from "../../src/task/Tasks.ts"
import * as Template from "../../src/task/Template.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import * as Published from "../tokenizer/Published.ts"

interface Case {
  readonly dataset: string
  readonly instruction: string
  readonly prompt: string
  readonly answer: string
  readonly promptIds: ReadonlyArray<number>
  readonly answerIds: ReadonlyArray<number>
  readonly leakPromptIds?: ReadonlyArray<number>
  readonly row?: {
    readonly historySids: ReadonlyArray<string>
    readonly historyTitles: ReadonlyArray<string>
    readonly targetSid: string
    readonly targetTitle: string
  }
  readonly truncatedTo48?: { readonly input_ids: ReadonlyArray<number>; readonly labels: ReadonlyArray<number> }
}

const phases: Readonly<Record<string, readonly [Template.Phase, ...ReadonlyArray<string>]>> = {
  SidSFTDataset: ["training", "history-to-sid"],
  "SidDataset (RL)": ["rl", "history-to-sid"],
  EvalSidDataset: ["evaluation", "history-to-sid"],
  SidItemFeatDataset: ["training", "title-to-sid", "sid-to-title"],
  RLTitle2SidDataset: ["rl", "title-to-sid", "description-to-sid"],
  FusionSeqRecDataset: ["training", "history-to-title"],
  RLSidhis2TitleDataset: ["rl", "history-to-title"],
  TitleHistory2SidSFTDataset: ["training", "titles-to-sid"],
  RLSeqTitle2SidDataset: ["rl", "titles-to-sid"]
}

/** Catalogue that grows with the items that the cases name. */
class Catalogue {
  readonly sids: Array<Int32Array> = []
  readonly titles: Array<string> = []
  readonly descriptions: Array<string> = []
  add(sid: string, title: string, description = ""): number {
    this.sids.push(Int32Array.from(sid.match(/\d+/g)!, Number))
    this.titles.push(title)
    this.descriptions.push(description)
    return this.sids.length - 1
  }
  texts(category: string): ItemTexts {
    return { title: (i) => this.titles[i]!, description: (i) => this.descriptions[i]!, category }
  }
}

/** Row of a case about one item, which the case only has in its prompt and answer. */
const itemRow = (catalogue: Catalogue, { answer, dataset, prompt }: Case): readonly [string, Template.Row] => {
  const [, titleToSid, other] = phases[dataset]!
  const input = prompt.slice("### User Input: \n".length, prompt.lastIndexOf("\n\n### Response:\n"))
  const own = answer.slice(0, -1)
  const title = /^Which item has the title: ([\s\S]*)\?$/.exec(input)
  const sid = /^What is the title of item "(.*)"\?$/.exec(input)
  const description = /^An item can be described as follows: "([\s\S]*)"\. Which item/.exec(input)
  const item = sid === null
    ? catalogue.add(own, title?.[1] ?? "", description?.[1] ?? "")
    : catalogue.add(sid[1]!, own)
  return [title === null ? other! : titleToSid!, { history: new Int32Array(), item }]
}

describe("the prompts of MiniOneRec, word for word", () => {
  if (Published.names.length === 0) it.skipIf(true)("no golden tokenizer was found", () => {})
  for (const name of Published.names) {
    const golden = Published.file(name, "prompts")
    if (golden === undefined) continue
    const cases = golden.prompts as ReadonlyArray<Case>
    it.effect(`${name}: text and ids of ${cases.length} prompts`, (context) =>
      Effect.gen(function*() {
        const found = yield* Published.definition(name)
        if (found === undefined) return context.skip("no tokenizer.json")
        const tokenizer = yield* ByteLevelBpe.make(found.named)
        const catalogue = new Catalogue()
        let row: Template.Row = { history: new Int32Array(), item: 0 }
        const rows = cases.map((one) => {
          if (one.row !== undefined) {
            const { historySids, historyTitles, targetSid, targetTitle } = one.row
            const history = Int32Array.from(historySids, (sid, i) => catalogue.add(sid, historyTitles[i]!))
            row = { history, item: catalogue.add(targetSid, targetTitle) }
          }
          assert.property(phases, one.dataset)
          const [, task, other] = phases[one.dataset]!
          return other === undefined ? [task!, row] as const : itemRow(catalogue, one)
        })
        const sizes = SidIndex.make(catalogue.sids, [], "given").levels
        const codebookSizes = Array.from({ length: sizes }, () => 1024)
        const sids = yield* SidTokens.make(tokenizer, { sids: catalogue.sids, codebookSizes })
        const codec = { tokenizer, sids }
        const texts = catalogue.texts(golden.category)
        for (const [i, one] of cases.entries()) {
          const [task, ownRow] = rows[i]!
          const options: Template.PromptOptions = {
            prompts: "original",
            phase: phases[one.dataset]![0],
            beginning: tokenizer.roles.bos === undefined ? undefined : tokenizer.tokenOf(tokenizer.roles.bos)
          }
          const template = yield* Tasks.find(task)
          const filled = Template.fill(template, ownRow, texts, options)!
          const begins = one.instruction !== "" && options.beginning !== undefined
          assert.strictEqual(
            TextCodec.textOf(codec, filled.prompt),
            (begins ? options.beginning : "") + one.instruction + one.prompt
          )
          assert.strictEqual(TextCodec.textOf(codec, filled.answer), one.answer)
          assert.deepStrictEqual(Array.from(TextCodec.encode(codec, filled.prompt)), one.promptIds, one.prompt)
          const end = tokenizer.roles.eos
          const encoded = TextCodec.encodeExample(codec, filled.prompt, filled.answer, { end })
          assert.deepStrictEqual(Array.from(encoded.ids), [...one.promptIds, ...one.answerIds])
          assert.strictEqual(encoded.answer, one.promptIds.length)
          if (one.truncatedTo48 !== undefined) {
            const cut = TextCodec.encodeExample(codec, filled.prompt, filled.answer, { end, maximum: 48 })
            assert.deepStrictEqual(Array.from(cut.ids), one.truncatedTo48.input_ids)
            assert.deepStrictEqual(
              Array.from(cut.ids, (id, at) => at < cut.answer ? -100 : id),
              one.truncatedTo48.labels
            )
          }
          if (one.leakPromptIds !== undefined) {
            // The original asks with the answer already written: the clean prompt is all but that answer.
            const leak = TextCodec.textOf(codec, filled.prompt) + one.answer.slice(0, -1)
            const normal = found.named.normalizer === null ? leak : leak.normalize("NFC")
            assert.strictEqual(tokenizer.decode(one.leakPromptIds), normal)
            assert.isBelow(one.promptIds.length, one.leakPromptIds.length)
          }
          // No wording of any phase shows its answer before it is asked for.
          for (const prompts of ["aligned", "original"] as const) {
            const other = Template.fill(template, ownRow, texts, { ...options, prompts })
            if (other === undefined) {
              // Only the original asks which item has no description.
              assert.deepStrictEqual([prompts, task, texts.description(ownRow.item, "joined")], [
                "aligned",
                "description-to-sid",
                ""
              ])
              continue
            }
            const shown = TextCodec.textOf(codec, other.prompt)
            assert.isTrue(shown.endsWith("\n\n### Response:\n"))
            if (one.leakPromptIds !== undefined) assert.notInclude(shown, one.answer.slice(0, -1))
          }
        }
      }))

    it.effect(`${name}: SID tokens are added in the order of strings`, (context) =>
      Effect.gen(function*() {
        const found = yield* Published.definition(name)
        if (found === undefined) return context.skip("no tokenizer.json")
        const { vocabulary } = Published.file(name, "strings")
        const levels = "abcdefgh"
        // One item for each token, whose other codes are those of the first item.
        const codes = found.sidTokens.map((token) => [levels.indexOf(token[1]!), Number(token.slice(3, -1))] as const)
        const depth = Math.max(...codes.map(([level]) => level)) + 1
        const first = Array.from({ length: depth }, (_, level) => codes.find(([own]) => own === level)![1])
        const sids = codes.map(([level, code]) => first.with(level, code)).toReversed()
        const tokens = SidTokens.vocabulary(sids)
        assert.strictEqual(tokens.length, vocabulary.sidTokens)
        const tokenizer = yield* ByteLevelBpe.make(TokenizerFile.extend(found.bare, tokens))
        assert.strictEqual(tokenizer.size, vocabulary.length)
        for (const [token, id] of [...vocabulary.first, ...vocabulary.last]) {
          assert.strictEqual(tokenizer.idOf(token), id, token)
        }
        for (const { content, id } of found.named.added) assert.strictEqual(tokenizer.idOf(content), id, content)
      }))
  }
})
