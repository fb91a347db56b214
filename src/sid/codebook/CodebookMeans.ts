/**
 * A codebook as running means of its rows (van den Oord et al. 2017, appendix A.1): `n = g n + (1 - g) count`,
 * `m = g m + (1 - g) sum`, code = m / n.
 */
import { type Matrix } from "../../matrix/Matrix.ts"

/** Running sums of one level. */
export interface CodebookMeans {
  /** Starts the sums from a codebook. */
  begin(codebook: Float32Array): void
  /** Restarts one code at a row. */
  place(code: number, at: Float32Array): void
  /** Moves the codebook towards the rows that have its codes; a code with none stays. */
  follow(rows: Matrix, codes: ArrayLike<number>, codebook: Float32Array): void
}

/** Builds sums for K codes of d components; `decay` is the weight g of the past. */
export const make = (codes: number, width: number, decay: number): CodebookMeans => {
  const counts = new Float64Array(codes)
  const sums = new Float64Array(codes * width)
  return {
    begin: (codebook) => {
      counts.fill(1)
      sums.set(codebook)
    },
    place: (code, at) => {
      counts[code] = 1
      sums.set(at, code * width)
    },
    follow: (rows, labels, codebook) => {
      const count = new Float64Array(codes)
      const sum = new Float64Array(codes * width)
      for (let r = 0; r < rows.rows; r++) {
        const to = labels[r]! * width
        count[labels[r]!]!++
        for (let d = 0; d < width; d++) sum[to + d] = sum[to + d]! + rows.data[r * width + d]!
      }
      for (let k = 0; k < codes; k++) {
        if (count[k] === 0) continue
        counts[k] = decay * counts[k]! + (1 - decay) * count[k]!
        for (let i = k * width; i < (k + 1) * width; i++) {
          sums[i] = decay * sums[i]! + (1 - decay) * sum[i]!
          codebook[i] = sums[i]! / counts[k]!
        }
      }
    }
  }
}
