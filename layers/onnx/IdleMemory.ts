/**
 * Memory of disposed values that is kept for later values.
 *
 * The cache of a decoder is made and disposed of many times a second. Without reuse each of its arrays is zeroed when
 * made and collected when gone, and the collector's threads compete with those of the operators.
 */

/** Kind of memory: of one thread, or shared with other threads. */
export type Memory = ArrayBuffer | SharedArrayBuffer

/** Smallest array that is kept, in bytes; smaller ones are cheaper to make than to find. */
const smallest = 4096

/** Returns the size of the memory for some bytes: at most a quarter larger, so that similar shapes share memory. */
const sizeOf = (bytes: number): number => {
  const step = 2 ** Math.max(10, Math.floor(Math.log2(bytes)) - 2)
  return Math.ceil(bytes / step) * step
}

/** Memory of one kind; when more than `limit` bytes are idle, the memory that has been idle longest is given up. */
export class IdleMemory {
  readonly #idle: Array<Memory> = []
  readonly #make: (bytes: number) => Memory
  readonly #limit: number
  #bytes = 0

  /** @param limit - largest number of idle bytes */
  constructor(make: (bytes: number) => Memory, limit = 128 * 1024 * 1024) {
    this.#make = make
    this.#limit = limit
  }

  /** Returns memory of at least `bytes` bytes; its contents are undefined. */
  take(bytes: number): Memory {
    if (bytes < smallest) return this.#make(bytes)
    const size = sizeOf(bytes)
    const at = this.#idle.findLastIndex((memory) => memory.byteLength === size)
    if (at < 0) return this.#make(size)
    this.#bytes -= size
    return this.#idle.splice(at, 1)[0]!
  }

  /** Takes back memory that nothing reads or writes any more. */
  give(memory: Memory): void {
    if (memory.byteLength < smallest) return
    this.#idle.push(memory)
    this.#bytes += memory.byteLength
    while (this.#bytes > this.#limit) this.#bytes -= this.#idle.shift()!.byteLength
  }
}
