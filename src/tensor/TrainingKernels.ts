/**
 * The one-pass WebAssembly kernels of training: AdamW, gradient norm, moving average, dropout masks.
 *
 * The binary is assembled from `TrainingKernels.wat`; a test assembles it again and compares.
 */

/** The assembled module, base64. */
export const binary =
  "AGFzbQEAAAABJQRgDH9/f39/fX19fX19fQBgAn9/AXxgBH9/f30AYAV/f39/fQACEgEDZW52Bm1lbW9yeQIDAYCABAMFBAABAgMHKQQFYWRhbXcAAA" +
  "xzdW1PZlNxdWFyZXMAAQRsZXJwAAIHZHJvcG91dAADCpQFBPoBAgF/DHsgBv0TIRBDAACAPyAGk/0TIREgB/0TIRJDAACAPyAHk/0TIRMgCP0TIRQg" +
  "Cf0TIRUgCv0TIRYgC/0TIRcgBf0TIRggACAEQQJ0aiEMAkADQCAAIAxPDQEgAf0ABAAgGP3mASENIAL9AAQAIBD95gEgDSAR/eYB/eQBIQ4gA/0ABA" +
  "AgEv3mASANIA395gEgE/3mAf3kASEPIAIgDv0LBAAgAyAP/QsEACAAIAD9AAQAIBX95gEgFiAOIA/94wEgF/3mASAU/eQB/ecB/eYB/eUB/QsEACAA" +
  "QRBqIQAgAUEQaiEBIAJBEGohAiADQRBqIQMMAAsLC34CAX8DeyAAIAFBAnRqIQICQANAIAAgAk8NASAA/QAEACEDIAQgA/1fIAP9X/3yAf3wASEEIA" +
  "MgA/0NCAkKCwwNDg8AAQIDBAUGByEDIAUgA/1fIAP9X/3yAf3wASEFIABBEGohAAwACwsgBCAF/fABIQQgBP0hACAE/SEBoAtWAgF/AnsgA/0TIQUg" +
  "ACACQQJ0aiEEAkADQCAAIARPDQEgAP0ABAAhBiAAIAYgAf0ABAAgBv3lASAF/eYB/eQB/QsEACAAQRBqIQAgAUEQaiEBDAALCwu/AQIBfwV7IAT9Ey" +
  "EIIAP9ESEJIAL9ESEK/QwAAAAAAQAAAAIAAAADAAAAIQYgACABQQJ0aiEFAkADQCAAIAVPDQEgCiAGQbHz3fF5/RH9tQH9USEHIAcgB0EQ/a0B/VEh" +
  "ByAHQeuUr694/RH9tQEhByAHIAdBDf2tAf1RIQcgB0G13MqVfP0R/bUBIQcgByAHQRD9rQH9USEHIAAgCCAHIAn9Ov1O/QsEACAGQQT9Ef2uASEGIA" +
  "BBEGohAAwACwsL"

/** The kernels over one memory; addresses are in bytes and multiples of 16, counts multiples of 4. */
export interface TrainingKernels {
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
  lerp(target: number, source: number, count: number, weight: number): void
  dropout(target: number, count: number, key: number, threshold: number, scale: number): void
}

interface WasmMemory {
  readonly buffer: SharedArrayBuffer
}

declare const WebAssembly: {
  readonly Module: new(bytes: Uint8Array) => object
  readonly Memory: new(size: {
    readonly initial: number
    readonly maximum: number
    readonly shared: true
  }) => WasmMemory
  readonly Instance: new(
    module: object,
    imports: { readonly env: { readonly memory: WasmMemory } }
  ) => { readonly exports: unknown }
}

const compiled = new WebAssembly.Module(Buffer.from(binary, "base64"))

/** Bytes of one WebAssembly page. */
const pageBytes = 65_536

/** A shared memory of at least `bytes` bytes, zeroed, and the kernels over it. It never grows, so views of it stay valid. */
export const make = (bytes: number): { readonly memory: WasmMemory; readonly kernels: TrainingKernels } => {
  const pages = Math.max(1, Math.ceil(bytes / pageBytes))
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  const instance = new WebAssembly.Instance(compiled, { env: { memory } })
  return { memory, kernels: instance.exports as unknown as TrainingKernels }
}
