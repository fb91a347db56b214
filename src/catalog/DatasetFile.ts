/**
 * Data set as one file of a run, so that evaluation and recommendation need only the run.
 *
 * It is a safetensors file: ragged lists of numbers as a tensor of values and one of lengths, items and users as lines
 * of JSON. A single JSON text would exceed the maximum length of strings, half a gigabyte.
 */
import * as Schema from "effect/Schema"
import * as Safetensors from "../storage/Safetensors.ts"
import { type Dataset, type Example } from "./Dataset.ts"

const Stored = {
  items: Schema.fromJsonString(Schema.Struct({
    key: Schema.String,
    title: Schema.String,
    description: Schema.String,
    brand: Schema.String,
    categories: Schema.Array(Schema.String)
  })),
  users: Schema.fromJsonString(Schema.String)
}

/** Fields of a data set other than lists and texts. */
const About = Schema.fromJsonString(Schema.Struct({
  name: Schema.String,
  counts: Schema.Array(Schema.Struct({ step: Schema.String, count: Schema.Int })),
  comparableTimes: Schema.optionalKey(Schema.Boolean),
  tieShare: Schema.optionalKey(Schema.Finite),
  notes: Schema.optionalKey(Schema.Array(Schema.String)),
  sources: Schema.optionalKey(Schema.Array(Schema.String)),
  malformed: Schema.optionalKey(Schema.Array(Schema.Struct({
    file: Schema.String,
    line: Schema.Int,
    problem: Schema.String,
    value: Schema.String
  })))
}))

type Tensors = Map<string, Safetensors.StoredTensor>

const integers = (data: Int32Array): Safetensors.StoredTensor => ({ dtype: "I32", shape: [data.length], data })
const bytes = (data: Uint8Array): Safetensors.StoredTensor => ({ dtype: "U8", shape: [data.length], data })

const joined = <T extends Int32Array | Float64Array>(lists: ReadonlyArray<T>, make: (length: number) => T): T => {
  const all = make(lists.reduce((sum, list) => sum + list.length, 0))
  let at = 0
  for (const list of lists) {
    all.set(list, at)
    at += list.length
  }
  return all
}

const setLists = (tensors: Tensors, name: string, lists: ReadonlyArray<Int32Array>): void => {
  tensors.set(name, integers(joined(lists, (length) => new Int32Array(length))))
  tensors.set(`${name}.lengths`, integers(Int32Array.from(lists, (list) => list.length)))
}

const slices = <T extends Int32Array | Float64Array>(all: T, lengths: Int32Array): Array<T> => {
  let at = 0
  const found = Array.from(lengths, (length) => all.slice(at, at += Math.max(0, length)) as T)
  if (at === all.length) return found
  throw new Safetensors.SafetensorsError({ tensor: "", detail: `has ${all.length} numbers where its lists take ${at}` })
}

const linesOf = (values: ReadonlyArray<unknown>): Safetensors.StoredTensor =>
  bytes(Buffer.concat(values.map((value) => Buffer.from(`${JSON.stringify(value)}\n`))))

/** Encodes a data set to the bytes of a file, without the oracle of a generator, which is a function. */
export const encode = (
  { items, sequences, split, times, userKeys, ...about }: Dataset
): Uint8Array => {
  const tensors: Tensors = new Map([
    ["about", bytes(Buffer.from(JSON.stringify({ ...about, oracle: undefined })))],
    ["items", linesOf(items)],
    ["users", linesOf(userKeys)]
  ])
  setLists(tensors, "sequences", sequences)
  if (times !== undefined) {
    const data = joined(times, (length) => new Float64Array(length))
    tensors.set("times", { dtype: "F64", shape: [data.length], data })
  }
  if (split !== undefined) {
    setLists(tensors, "train", split.train)
    for (const part of ["validation", "test"] as const) {
      setLists(tensors, `${part}.history`, split[part].map(({ history }) => history))
      tensors.set(`${part}.user`, integers(Int32Array.from(split[part], ({ user }) => user)))
      tensors.set(`${part}.target`, integers(Int32Array.from(split[part], ({ target }) => target)))
    }
  }
  return Safetensors.encode(tensors)
}

/** Throws `SafetensorsError` unless every number of a tensor is below `count`. */
const checkBelow = (tensor: string, numbers: Int32Array, count: number, what: string): void => {
  for (const number of numbers) {
    if (number >= 0 && number < count) continue
    throw new Safetensors.SafetensorsError({ tensor, detail: `has the number ${number}; there are ${count} ${what}` })
  }
}

const checkLength = (tensor: string, length: number, expected: number): void => {
  if (length === expected) return
  throw new Safetensors.SafetensorsError({ tensor, detail: `has ${length} entries; expected ${expected}` })
}

/** Decodes a data set from the bytes of a file; throws an error when they are not one. */
export const decode = (file: Uint8Array): Dataset => {
  const tensors = Safetensors.decode(file)
  const numbers = (name: string) => Safetensors.pick(tensors, name, "I32").data
  const lists = (name: string) => {
    const all = numbers(name)
    checkBelow(name, all, items.length, "items")
    return slices(all, numbers(`${name}.lengths`))
  }
  const lines = <T>(name: string, schema: Schema.Codec<T, string>): Array<T> => {
    const text = Safetensors.pick(tensors, name, "U8").data
    const read = Schema.decodeSync(schema)
    const found: Array<T> = []
    for (let from = 0, to = text.indexOf(10); to >= 0; from = to + 1, to = text.indexOf(10, from)) {
      found.push(read(Buffer.from(text.buffer, text.byteOffset + from, to - from).toString()))
    }
    return found
  }
  const examples = (part: string): Array<Example> => {
    const [users, targets] = [numbers(`${part}.user`), numbers(`${part}.target`)]
    const histories = lists(`${part}.history`)
    checkLength(`${part}.user`, users.length, histories.length)
    checkLength(`${part}.target`, targets.length, histories.length)
    checkBelow(`${part}.target`, targets, items.length, "items")
    return histories.map((history, i) => ({ user: users[i]!, history, target: targets[i]! }))
  }
  const items = lines("items", Stored.items)
  const userKeys = lines("users", Stored.users)
  const sequences = lists("sequences")
  checkLength("users", userKeys.length, sequences.length)
  return {
    ...Schema.decodeSync(About)(Buffer.from(Safetensors.pick(tensors, "about", "U8").data).toString()),
    items,
    userKeys,
    sequences,
    ...(tensors.has("times")
      ? { times: slices(Safetensors.pick(tensors, "times", "F64").data, numbers("sequences.lengths")) }
      : {}),
    ...(tensors.has("train")
      ? { split: { train: lists("train"), validation: examples("validation"), test: examples("test") } }
      : {})
  }
}
