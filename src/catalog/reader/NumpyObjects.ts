/**
 * Reader of pickled NumPy objects: `.npy` files with one dictionary, in which some data sets store titles.
 *
 * A pickle is a program; this reader supports only the instructions for plain dictionaries, lists, numbers and text,
 * and three constructors of NumPy. It rejects everything else and calls nothing.
 */

/** Value in such a file. */
export type PickledValue =
  | string
  | number
  | boolean
  | null
  | ReadonlyArray<PickledValue>
  | { readonly [key: string]: PickledValue }

const constructors = new Set([
  "numpy.core.multiarray _reconstruct",
  "numpy._core.multiarray _reconstruct",
  "numpy ndarray",
  "numpy dtype"
])

interface Opaque {
  readonly numpy: string
  content?: unknown
}

const mark = Symbol("mark")

/** Decodes the dictionary in a `.npy` file; throws an error that names the unsupported content. */
export const decode = (bytes: Uint8Array): PickledValue => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 10 || Buffer.from(bytes.subarray(0, 6)).toString("latin1") !== "\u0093NUMPY") {
    throw new Error("it is not a .npy file")
  }
  let at = bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true)
  const stack: Array<unknown> = []
  const memo = new Map<number, unknown>()
  const text = (length: number) => {
    if (at + length > bytes.length) throw new Error("it ends in the middle of a text")
    const value = Buffer.from(bytes.subarray(at, at + length)).toString("utf8")
    at += length
    return value
  }
  const line = () => {
    const end = bytes.indexOf(10, at)
    if (end < 0) throw new Error("it ends in the middle of a line")
    const value = text(end - at)
    at++
    return value
  }
  const toMark = () => {
    const from = stack.lastIndexOf(mark)
    if (from < 0) throw new Error("its pickle is damaged (no mark)")
    const values = stack.splice(from)
    return values.slice(1)
  }
  const top = () => stack[stack.length - 1]
  const setItems = (pairs: ReadonlyArray<unknown>) => {
    const target = top() as Record<string, unknown>
    for (let i = 0; i + 1 < pairs.length; i += 2) target[String(pairs[i])] = pairs[i + 1]
  }
  while (at < bytes.length) {
    const code = bytes[at++]!
    switch (String.fromCharCode(code)) {
      case "\u0080":
        at++
        break
      case "\u0095":
        at += 8
        break
      case "c": {
        const name = `${line()} ${line()}`
        if (!constructors.has(name)) throw new Error(`its pickle asks for "${name}", which is refused`)
        stack.push({ numpy: name } satisfies Opaque)
        break
      }
      case "q":
        memo.set(bytes[at++]!, top())
        break
      case "r":
        memo.set(view.getUint32(at, true), top())
        at += 4
        break
      case "h":
        stack.push(memo.get(bytes[at++]!))
        break
      case "j":
        stack.push(memo.get(view.getUint32(at, true)))
        at += 4
        break
      case "K":
        stack.push(bytes[at++]!)
        break
      case "M":
        stack.push(view.getUint16(at, true))
        at += 2
        break
      case "J":
        stack.push(view.getInt32(at, true))
        at += 4
        break
      case "X": {
        const length = view.getUint32(at, true)
        at += 4
        stack.push(text(length))
        break
      }
      case "\u008c":
        stack.push(text(bytes[at++]!))
        break
      case "C":
        stack.push(text(bytes[at++]!))
        break
      case "N":
        stack.push(null)
        break
      case "\u0088":
        stack.push(true)
        break
      case "\u0089":
        stack.push(false)
        break
      case "]":
        stack.push([])
        break
      case "}":
        stack.push({})
        break
      case ")":
        stack.push([])
        break
      case "(":
        stack.push(mark)
        break
      case "\u0085":
        stack.push([stack.pop()])
        break
      case "\u0086":
        stack.push(stack.splice(-2))
        break
      case "\u0087":
        stack.push(stack.splice(-3))
        break
      case "t":
        stack.push(toMark())
        break
      case "l":
        stack.push(toMark())
        break
      case "a": {
        const value = stack.pop()
        ;(top() as Array<unknown>).push(value)
        break
      }
      case "e": {
        const values = toMark()
        ;(top() as Array<unknown>).push(...values)
        break
      }
      case "s": {
        const [key, value] = stack.splice(-2)
        setItems([key, value])
        break
      }
      case "u":
        setItems(toMark())
        break
      case "R": {
        stack.pop()
        const callee = stack.pop() as Opaque
        stack.push({ numpy: callee.numpy } satisfies Opaque)
        break
      }
      case "b": {
        const state = stack.pop()
        const target = top() as Opaque
        if (Array.isArray(state)) target.content = state[state.length - 1]
        break
      }
      case ".": {
        const result = stack.pop() as Opaque
        const content = result.content as ReadonlyArray<PickledValue> | undefined
        if (content?.[0] === undefined) throw new Error("it holds no object")
        return content[0]
      }
      default:
        throw new Error(`its pickle uses the instruction 0x${code.toString(16)}, which is refused`)
    }
  }
  throw new Error("it ends before its pickle does")
}
