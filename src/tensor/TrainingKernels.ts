/**
 * WebAssembly kernels of training: AdamW, gradient norm, moving average, dropout masks, softmax over sums of columns.
 *
 * The binary is assembled from `TrainingKernels.wat`; a test assembles it again and compares.
 */

/** Assembled module, base64. */
export const binary =
  "AGFzbQEAAAABRQhgDH9/f39/fX19fX19fQBgAn9/AXxgBH9/f30AYAV/f39/fQBgBH9/f38AYAZ/f39/f38AYAN/f38AYAd/f39/f39/AAJJBANlbnYHb" +
  "WVtb3J5MAIDAf//AwNlbnYHbWVtb3J5MQIDAf//AwNlbnYHbWVtb3J5MgIDAf//AwNlbnYHbWVtb3J5MwIDAf//AwMKCQABAgMEBAUGBwdrCQVhZGFtdw" +
  "AADHN1bU9mU3F1YXJlcwABBGxlcnAAAgdkcm9wb3V0AAMJbG9hZEJsb2NrAAQKc3RvcmVCbG9jawAFCnN1bUNvbHVtbnMABgxleHBvbmVudGlhbHMABwp" +
  "hZGRDb2x1bW5zAAgKow4J/wECAX8MeyAG/RMhEEMAAIA/IAaT/RMhESAH/RMhEkMAAIA/IAeT/RMhEyAI/RMhFCAJ/RMhFSAK/RMhFiAL/RMhFyAF/RMh" +
  "GCAAIARBAnRqIQwCQANAIAAgDE8NASAB/QBEAQAgGP3mASENIAL9AEQCACAQ/eYBIA0gEf3mAf3kASEOIAP9AEQDACAS/eYBIA0gDf3mASAT/eYB/eQBI" +
  "Q8gAiAO/QtEAgAgAyAP/QtEAwAgACAA/QAEACAV/eYBIBYgDiAP/eMBIBf95gEgFP3kAf3nAf3mAf3lAf0LBAAgAEEQaiEAIAFBEGohASACQRBqIQIgA0" +
  "EQaiEDDAALCwt+AgF/A3sgACABQQJ0aiECAkADQCAAIAJPDQEgAP0ABAAhAyAEIAP9XyAD/V/98gH98AEhBCADIAP9DQgJCgsMDQ4PAAECAwQFBgchAyA" +
  "FIAP9XyAD/V/98gH98AEhBSAAQRBqIQAMAAsLIAQgBf3wASEEIAT9IQAgBP0hAaALVwIBfwJ7IAP9EyEFIAAgAkECdGohBAJAA0AgACAETw0BIAD9AAQA" +
  "IQYgACAGIAH9AEQBACAG/eUBIAX95gH95AH9CwQAIABBEGohACABQRBqIQEMAAsLC78BAgF/BXsgBP0TIQggA/0RIQkgAv0RIQr9DAAAAAABAAAAAgAAA" +
  "AMAAAAhBiAAIAFBAnRqIQUCQANAIAAgBU8NASAKIAZBsfPd8Xn9Ef21Af1RIQcgByAHQRD9rQH9USEHIAdB65Svr3j9Ef21ASEHIAcgB0EN/a0B/VEhBy" +
  "AHQbXcypV8/RH9tQEhByAHIAdBEP2tAf1RIQcgACAIIAcgCf06/U79CwQAIAZBBP0R/a4BIQYgAEEQaiEADAALCwtgAQF/IAAgA0EGdGohBAJAA0AgACA" +
  "ETw0BIAAgAf0ARAEA/QsEACAAIAH9AEQBEP0LBBAgACAB/QBEASD9CwQgIAAgAf0ARAEw/QsEMCAAQcAAaiEAIAEgAmohAQwACwsLYAEBfyABIANBBnRq" +
  "IQQCQANAIAEgBE8NASAAIAH9AAQA/QtEAQAgACAB/QAEEP0LRAEQIAAgAf0ABCD9C0QBICAAIAH9AAQw/QtEATAgAUHAAGohASAAIAJqIQAMAAsLC8UBA" +
  "gN/BHsgACAEQQZ0aiEGIAIhBwJAA0AgACAGTw0BIAMqAgD9EyEJIAkhCiAJIQsgCSEMIAcgBUECdGohBwJAA0AgAiAHTw0BIAEgAigCAGohCCAJIAj9AA" +
  "QA/eQBIQkgCiAI/QAEEP3kASEKIAsgCP0ABCD95AEhCyAMIAj9AAQw/eQBIQwgAkEEaiECDAALCyAAIAn9CwQAIAAgCv0LBBAgACAL/QsEICAAIAz9CwQ" +
  "wIABBwABqIQAgA0EEaiEDDAALCwu0AwIDfwZ7AkADQCAFQcAATw0BIAAgBWohAyADIAJBBnRqIQRDAACA//0TIQZDAAAAAP0TIQdDAAAAAP0TIQgCQANA" +
  "IAMgBE8NASAD/QAEACEJIAYgCf3pASEGIAcgCf3kASEHIANBwABqIQMMAAsLIAAgBWohAwJAA0AgAyAETw0BIAP9AAQAIAb95QFDAACuwv0T/ekBIQkgC" +
  "UM7qrg//RP95gH9aiEKIAkgCkMAgDE//RP95gH95QEhCSAJIApDg4BeOf0T/eYB/eQBIQlDZ2lQOf0TIQsgCyAJ/eYBQ85Dtzr9E/3kASELIAsgCf3mAU" +
  "MIiQg8/RP95AEhCyALIAn95gFDwakqPf0T/eQBIQsgCyAJ/eYBQ6qqKj79E/3kASELIAsgCf3mAUMAAAA//RP95AEhCyALIAn95gEgCf3mASAJQwAAgD/" +
  "9E/3kAf3kASELIAsgCv34AUH/AP0R/a4BQRf9qwH95gEhCyADIAv9CwQAIAggC/3kASEIIANBwABqIQMMAAsLIAEgBWohAyADIAb9CwQAIAMgB/0LBEAg" +
  "AyAI/QsEgAEgBUEQaiEFDAALCwvIAgIDfwR7IAAgBEEGdGohByACIQgCQANAIAAgB08NASAA/QAEACAG/QAEAP3mASAG/QAEQP3lASEKIAD9AAQQIAb9A" +
  "AQQ/eYBIAb9AARQ/eUBIQsgAP0ABCAgBv0ABCD95gEgBv0ABGD95QEhDCAA/QAEMCAG/QAEMP3mASAG/QAEcP3lASENIAAgCv0LBAAgACAL/QsEECAAIA" +
  "z9CwQgIAAgDf0LBDAgAyAD/QAEACAKIAv95AEgDCAN/eQB/eQB/eQB/QsEACAIIAVBAnRqIQgCQANAIAIgCE8NASABIAIoAgBqIQkgCSAJ/QAEACAK/eQ" +
  "B/QsEACAJIAn9AAQQIAv95AH9CwQQIAkgCf0ABCAgDP3kAf0LBCAgCSAJ/QAEMCAN/eQB/QsEMCACQQRqIQIMAAsLIABBwABqIQAgA0EQaiEDDAALCws="

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
  /** Copies the 64 bytes at `from` and every `stride` bytes after it in memory 1 to `rows` consecutive rows at `to`. */
  loadBlock(to: number, from: number, stride: number, rows: number): void
  /** Copies `rows` consecutive rows at `from` to `to` and every `stride` bytes after it in memory 1. */
  storeBlock(to: number, from: number, stride: number, rows: number): void
  /** Writes the base of each class plus the rows of the table at its `levels` offsets, a row of 16 scores per class. */
  sumColumns(scores: number, table: number, offsets: number, bases: number, classes: number, levels: number): void
  /**
   * Replaces scores with `exp(score - largest of the position)`; writes a row of the largest scores, one of the sums of
   * scores and one of the sums of exponentials.
   */
  exponentials(scores: number, sums: number, classes: number): void
  /**
   * Replaces values with `value * scale - shift`, by the two rows of `factors`, and adds them to the rows of the table at
   * their class's offsets and to the 4 sums of their class.
   */
  addColumns(
    values: number,
    table: number,
    offsets: number,
    sums: number,
    classes: number,
    levels: number,
    factors: number
  ): void
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
