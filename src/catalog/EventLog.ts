/**
 * Events as columns of numbers: what every importer makes, ten million of them in some 200 MB.
 */

/** `users[e]`, `items[e]` index the keys; `times[e]` is any number that orders events; rows stand in the file's order. */
export interface EventLog {
  readonly userKeys: ReadonlyArray<string>
  readonly itemKeys: ReadonlyArray<string>
  readonly users: Int32Array
  readonly items: Int32Array
  readonly times: Float64Array
  /** Absent where the source has none; NaN for an event without one. */
  readonly ratings?: Float32Array | undefined
}

/** Collects events one by one. */
export interface EventLogBuilder {
  add(user: string, item: string, time: number, rating?: number): void
  readonly size: number
  build(): EventLog
}

/** A builder; numbers are given to keys in the order in which these come. */
export const builder = (): EventLogBuilder => {
  const userNumber = new Map<string, number>()
  const itemNumber = new Map<string, number>()
  let capacity = 1024
  let size = 0
  let users = new Int32Array(capacity)
  let items = new Int32Array(capacity)
  let times = new Float64Array(capacity)
  let ratings: Float32Array | undefined
  const grow = <A extends Int32Array | Float64Array | Float32Array>(array: A, larger: A): A => {
    larger.set(array)
    return larger
  }
  const numberOf = (map: Map<string, number>, key: string): number => {
    const known = map.get(key)
    if (known !== undefined) return known
    map.set(key, map.size)
    return map.size - 1
  }
  return {
    add: (user, item, time, rating) => {
      if (size === capacity) {
        capacity *= 2
        users = grow(users, new Int32Array(capacity))
        items = grow(items, new Int32Array(capacity))
        times = grow(times, new Float64Array(capacity))
        if (ratings !== undefined) ratings = grow(ratings, new Float32Array(capacity))
      }
      users[size] = numberOf(userNumber, user)
      items[size] = numberOf(itemNumber, item)
      times[size] = time
      if (rating !== undefined) {
        ratings ??= new Float32Array(capacity).fill(Number.NaN)
        ratings[size] = rating
      }
      size++
    },
    get size() {
      return size
    },
    build: () => ({
      userKeys: [...userNumber.keys()],
      itemKeys: [...itemNumber.keys()],
      users: users.subarray(0, size),
      items: items.subarray(0, size),
      times: times.subarray(0, size),
      ratings: ratings?.subarray(0, size)
    })
  }
}
