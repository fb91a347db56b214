/**
 * One-pass WebAssembly kernels of training: AdamW, gradient norm, moving average, dropout masks.
 *
 * The binary is assembled from `TrainingKernels.wat`; a test assembles it again and compares.
 */

/** Assembled module, base64. */
export const binary =
  "AGFzbQEAAAABJQRgDH9/f39/fX19fX19fQBgAn9/AXxgBH9/f30AYAV/f39/fQACSQQDZW52B21lbW9yeTACAwH//wMDZW52B21lbW9yeTECAwH//wMDZW" +
  "52B21lbW9yeTICAwH//wMDZW52B21lbW9yeTMCAwH//wMDBQQAAQIDBykEBWFkYW13AAAMc3VtT2ZTcXVhcmVzAAEEbGVycAACB2Ryb3BvdXQAAwqaBQT/" +
  "AQIBfwx7IAb9EyEQQwAAgD8gBpP9EyERIAf9EyESQwAAgD8gB5P9EyETIAj9EyEUIAn9EyEVIAr9EyEWIAv9EyEXIAX9EyEYIAAgBEECdGohDAJAA0AgAC" +
  "AMTw0BIAH9AEQBACAY/eYBIQ0gAv0ARAIAIBD95gEgDSAR/eYB/eQBIQ4gA/0ARAMAIBL95gEgDSAN/eYBIBP95gH95AEhDyACIA79C0QCACADIA/9C0QD" +
  "ACAAIAD9AAQAIBX95gEgFiAOIA/94wEgF/3mASAU/eQB/ecB/eYB/eUB/QsEACAAQRBqIQAgAUEQaiEBIAJBEGohAiADQRBqIQMMAAsLC34CAX8DeyAAIA" +
  "FBAnRqIQICQANAIAAgAk8NASAA/QAEACEDIAQgA/1fIAP9X/3yAf3wASEEIAMgA/0NCAkKCwwNDg8AAQIDBAUGByEDIAUgA/1fIAP9X/3yAf3wASEFIABB" +
  "EGohAAwACwsgBCAF/fABIQQgBP0hACAE/SEBoAtXAgF/AnsgA/0TIQUgACACQQJ0aiEEAkADQCAAIARPDQEgAP0ABAAhBiAAIAYgAf0ARAEAIAb95QEgBf" +
  "3mAf3kAf0LBAAgAEEQaiEAIAFBEGohAQwACwsLvwECAX8FeyAE/RMhCCAD/REhCSAC/REhCv0MAAAAAAEAAAACAAAAAwAAACEGIAAgAUECdGohBQJAA0Ag" +
  "ACAFTw0BIAogBkGx893xef0R/bUB/VEhByAHIAdBEP2tAf1RIQcgB0HrlK+veP0R/bUBIQcgByAHQQ39rQH9USEHIAdBtdzKlXz9Ef21ASEHIAcgB0EQ/a" +
  "0B/VEhByAAIAggByAJ/Tr9Tv0LBAAgBkEE/RH9rgEhBiAAQRBqIQAMAAsLCw=="

/**
 * Kernels over four memories; addresses are in bytes and multiples of 16, counts are in elements and multiples of 4.
 * Dropout masks and sums of squares use memory 0.
 */
export interface TrainingKernels {
  /** Updates the weights in memory 0 from the gradients in memory 1; the moments are in memories 2 and 3. */
  adamw(
    p: number,
    g: number,
    m: number,
    v: number,
    count: number,
    clip: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    keep: number,
    rate: number,
    root: number
  ): void
  sumOfSquares(x: number, count: number): number
  /** Moves the target in memory 0 towards the source in memory 1 by a share `weight` of their difference. */
  lerp(target: number, source: number, count: number, weight: number): void
  dropout(target: number, count: number, key: number, threshold: number, scale: number): void
}

/** Shared memory of a fixed size. */
export interface Memory {
  readonly buffer: SharedArrayBuffer
}

declare const WebAssembly: {
  readonly Module: new(bytes: Uint8Array) => object
  readonly Memory: new(size: {
    readonly initial: number
    readonly maximum: number
    readonly shared: true
  }) => Memory
  readonly Instance: new(
    module: object,
    imports: { readonly env: Readonly<Record<string, Memory>> }
  ) => { readonly exports: unknown }
}

const compiled = new WebAssembly.Module(Buffer.from(binary, "base64"))

/** Bytes per WebAssembly page. */
const pageBytes = 65_536

/** Maximum bytes of one memory: 4 GiB less one page. */
export const mostBytes: number = 65_535 * pageBytes

/** Allocates a zeroed shared memory of at least `bytes` bytes. It never grows, so views of it stay valid. */
export const memory = (bytes: number): Memory => {
  const pages = Math.max(1, Math.ceil(bytes / pageBytes))
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
}

/** Instantiates the kernels over up to four memories; missing ones default to the first. */
export const over = (first: Memory, ...others: ReadonlyArray<Memory>): TrainingKernels => {
  const env = Object.fromEntries([0, 1, 2, 3].map((i) => [`memory${i}`, others[i - 1] ?? first]))
  return new WebAssembly.Instance(compiled, { env }).exports as unknown as TrainingKernels
}
