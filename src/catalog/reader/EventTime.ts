/**
 * Times as files write them: numbers as they stand, or dates, in milliseconds since 1970, UTC where no zone is named.
 *
 * Differs from `Date.parse`, which takes "soon 1" for a date and reads what names no zone in the machine's own.
 */

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

const number = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i
const clock = String.raw`(?<H>\d{1,2}):(?<M>\d{2})(?::(?<S>\d{2}(?:\.\d+)?))?`

/** Dates that are understood, besides ISO 8601: the forms of Amazon's, UCI's and mail dates. */
const forms = [
  String
    .raw`(?<y>\d{4})[-/](?<m>\d{1,2})[-/](?<d>\d{1,2})(?:[T ]+${clock})?(?:\s?(?<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?`,
  String.raw`(?<m>\d{1,2})/(?<d>\d{1,2})/(?<y>\d{4})(?: ${clock})?`,
  String.raw`(?<m>\d{1,2}) (?<d>\d{1,2}), (?<y>\d{4})`,
  String.raw`(?<m>[a-z]{3}) (?<d>\d{1,2}), (?<y>\d{4})`,
  String.raw`(?:[a-z]{3}, )?(?<d>\d{1,2})[ -](?<m>[a-z]{3})[ -](?<y>\d{4})(?: ${clock} (?<zone>GMT|UTC|[+-]\d{4}))?`
].map((form) => new RegExp(`^\\s*${form}\\s*$`, "i"))

/** Minutes that a zone is ahead of UTC. */
const ahead = (zone: string | undefined): number => {
  const [, sign, hours, minutes] = /^([+-])(\d{2}):?(\d{2})?$/.exec(zone ?? "") ?? []
  return hours === undefined ? 0 : (sign === "-" ? -1 : 1) * (60 * Number(hours) + Number(minutes ?? 0))
}

/** The time, or NaN for what is neither a finite number nor a date. */
export const parse = (text: string): number => {
  if (number.test(text)) {
    const value = Number(text)
    return Number.isFinite(value) ? value : Number.NaN
  }
  for (const form of forms) {
    const found = form.exec(text)?.groups
    if (found === undefined) continue
    const { H = "0", M = "0", S = "0", d, m, y, zone } = found
    const month = /^\d/.test(m!) ? Number(m) - 1 : months.indexOf(m!.toLowerCase())
    const [year, day, hour, minute, second] = [Number(y), Number(d), Number(H), Number(M), Number(S)]
    const days = new Date(Date.UTC(year, month, day))
    // 30 February and 25 o'clock are no times.
    if (days.getUTCMonth() !== month || days.getUTCDate() !== day || hour > 23 || minute > 59 || second >= 60) continue
    return days.getTime() + ((hour * 60 + minute - ahead(zone)) * 60 + second) * 1000
  }
  return Number.NaN
}
