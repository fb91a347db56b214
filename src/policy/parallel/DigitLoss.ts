/**
 * Cross-entropy over items whose scores are sums of digits' logits, and its derivatives, on the host.
 *
 * As a product of states and items' vectors, [M, L x E] x [L x E, S], a score takes L x E multiplications. The logits of
 * all codes are far fewer, [L x K, M], and with them a score is L look-ups and additions. Kernels take 16 positions at a
 * time, whose logits stay in the cache.
 */
import * as TrainingKernels from "../../tensor/TrainingKernels.ts"
import { type ClassTargets } from "../item/GeneratorHead.ts"

/** Positions of a block. */
const lanes = 16

/** Bytes of a row of a block. */
const rowBytes = lanes * 4

/** Codes of the items as columns of the digits' logits. */
export interface DigitColumns {
  /** Column of each digit of each item, [N, L]; -1 beyond the end of a shorter SID. */
  readonly columns: Int32Array
  readonly levels: number
  /** Number of columns of all digits, W. */
  readonly width: number
}

/** Targets, and what the scores consist of besides the logits. */
export interface DigitTargets extends Omit<ClassTargets, "shape"> {
  /** Biases of all items, [N]. */
  readonly biases: ArrayLike<number>
  /** Addition to the scores of the classes in a position's history. */
  readonly addition: number
}

/** Value of a loss and its derivatives, besides those by the logits. */
export interface DigitLossValue {
  readonly loss: number
  /** Derivatives by the biases, [N]. */
  readonly biases: Float32Array
  /** Derivative by the addition. */
  readonly addition: number
}

/** Logits of digits, and their loss. */
export interface DigitLoss {
  /** Logits of M positions, [W, M]; a later call with more positions replaces the memory. */
  readonly logits: (positions: number) => Float32Array
  /**
   * Evaluates `sum_m weights[m] * -log softmax(scores)[targets[m]]` of the logits and replaces them with its derivatives.
   */
  readonly evaluate: (positions: number, targets: DigitTargets) => DigitLossValue
}

/** Makes a loss with memory of its own, which every evaluation uses again. */
export const make = ({ columns, levels, width }: DigitColumns): DigitLoss => {
  let table = TrainingKernels.memory(0)
  let scratch = TrainingKernels.memory(0)
  let kernels = TrainingKernels.over(scratch, table)
  /** Reserves memory of at least `bytes` bytes. */
  const reserve = (memory: TrainingKernels.Memory, bytes: number) =>
    memory.buffer.byteLength >= bytes ? memory : TrainingKernels.memory(bytes)
  const logits = (positions: number) => {
    const own = reserve(table, width * positions * 4)
    if (own !== table) {
      table = own
      kernels = TrainingKernels.over(scratch, table)
    }
    return new Float32Array(table.buffer, 0, width * positions)
  }
  return {
    logits,
    evaluate: (
      positions,
      { addition, biases, classes, corrections, repeats, smoothing, targets, weights }
    ) => {
      const count = classes.length
      const matrix = logits(positions)
      // A row more than there are columns is 0, for the digits that a shorter SID lacks.
      const rows = width + 1
      const places = { block: 0, pulls: rows * rowBytes, scores: 2 * rows * rowBytes }
      const sumsAt = places.scores + count * rowBytes
      const factorsAt = sumsAt + 3 * rowBytes
      const byClassAt = factorsAt + 2 * rowBytes
      const offsetsAt = byClassAt + count * 16
      const basesAt = offsetsAt + count * levels * 4
      const own = reserve(scratch, basesAt + count * 4)
      if (own !== scratch) {
        scratch = own
        kernels = TrainingKernels.over(scratch, table)
      }
      const floats = (at: number, length: number) => new Float32Array(scratch.buffer, at, length)
      const block = floats(places.block, rows * lanes)
      const pulls = floats(places.pulls, rows * lanes)
      const scores = floats(places.scores, count * lanes)
      const [most, total, sum] = [0, 1, 2].map((row) => floats(sumsAt + row * rowBytes, lanes)) as [
        Float32Array,
        Float32Array,
        Float32Array
      ]
      const [scale, shift] = [0, 1].map((row) => floats(factorsAt + row * rowBytes, lanes)) as [
        Float32Array,
        Float32Array
      ]
      const byClass = floats(byClassAt, count * 4).fill(0)
      const offsets = new Int32Array(scratch.buffer, offsetsAt, count * levels)
      const bases = floats(basesAt, count)
      for (let s = 0; s < count; s++) {
        const item = classes[s]!
        bases[s] = biases[item]! + corrections[s]!
        for (let l = 0; l < levels; l++) {
          const column = columns[item * levels + l]!
          offsets[s * levels + l] = (column < 0 ? width : column) * rowBytes
        }
      }
      block.fill(0)
      const chosen = new Float64Array(lanes)
      let [loss, byAddition] = [0, 0]
      for (let first = 0; first < positions; first += lanes) {
        const used = Math.min(lanes, positions - first)
        if (used === lanes) kernels.loadBlock(places.block, first * 4, positions * 4, width)
        else {
          block.fill(0)
          for (let c = 0; c < width; c++) {
            for (let i = 0; i < used; i++) block[c * lanes + i] = matrix[c * positions + first + i]!
          }
        }
        kernels.sumColumns(places.scores, places.block, offsetsAt, basesAt, count, levels)
        for (let i = 0; i < used; i++) {
          const m = first + i
          for (const s of repeats?.[m] ?? []) scores[s * lanes + i]! += addition
          chosen[i] = scores[targets[m]! * lanes + i]!
        }
        kernels.exponentials(places.scores, sumsAt, count)
        scale.fill(0)
        shift.fill(0)
        for (let i = 0; i < used; i++) {
          const m = first + i
          const weight = weights[m]!
          if (weight === 0) continue
          loss += weight *
            (most[i]! + Math.log(sum[i]!) - (1 - smoothing) * chosen[i]! - smoothing / count * total[i]!)
          scale[i] = weight / sum[i]!
          shift[i] = weight * smoothing / count
          scores[targets[m]! * lanes + i]! -= (1 - smoothing) * sum[i]!
        }
        pulls.fill(0)
        kernels.addColumns(places.scores, places.pulls, offsetsAt, byClassAt, count, levels, factorsAt)
        for (let i = 0; i < used; i++) {
          for (const s of repeats?.[first + i] ?? []) byAddition += scores[s * lanes + i]!
        }
        if (used === lanes) kernels.storeBlock(first * 4, places.pulls, positions * 4, width)
        else {
          for (let c = 0; c < width; c++) {
            for (let i = 0; i < used; i++) matrix[c * positions + first + i] = pulls[c * lanes + i]!
          }
        }
      }
      const byBias = new Float32Array(biases.length)
      for (let s = 0; s < count; s++) {
        byBias[classes[s]!] = byClass[4 * s]! + byClass[4 * s + 1]! + byClass[4 * s + 2]! + byClass[4 * s + 3]!
      }
      return { loss, biases: byBias, addition: byAddition }
    }
  }
}
