import { assert, describe, it } from "@effect/vitest"
import * as EventTime from "../../src/catalog/reader/EventTime.ts"
import * as Random from "../../src/statistics/Random.ts"

/** The times of a column that has one reading, or the other outcome as it is. */
const times = (texts: ReadonlyArray<string>, options?: EventTime.Options) => {
  const found = EventTime.column(texts, options)
  return found._tag === "Times" ? [...found.times] : found
}
const formatOf = (texts: ReadonlyArray<string>, options?: EventTime.Options) => {
  const found = EventTime.column(texts, options)
  return found._tag === "Times" ? found.format : found._tag
}
const at = (year: number, month: number, day: number, h = 0, m = 0, s = 0, ms = 0) =>
  Date.UTC(year, month - 1, day, h, m, s, ms)

const six = at(2014, 12, 6)
const clock = at(2014, 12, 6, 2, 10, 11)

/** What one text means, where the text alone can tell. */
const single: ReadonlyArray<readonly [string, number]> = [
  ["1417831811", 1417831811],
  ["1417831811000.25", 1417831811000.25],
  ["1.5e9", 1.5e9],
  ["1,577,836,800", 1_577_836_800],
  ["2014年12月6日", six],
  ["2014年12月06日 02:10", at(2014, 12, 6, 2, 10)],
  ["6. Dec 2014", six],
  ["[06/Dec/2014:00:00:00 +0000]", six],
  ["-12", -12],
  ["2014-12-06", six],
  ["2014-12", at(2014, 12, 1)],
  ["2014/12", at(2014, 12, 1)],
  ["2014-1-6", at(2014, 1, 6)],
  ["2014-12-06 02", at(2014, 12, 6, 2)],
  ["2014-12-06T02", at(2014, 12, 6, 2)],
  ["2014-12-06 02Z", at(2014, 12, 6, 2)],
  ["2014-12-06 2:10", at(2014, 12, 6, 2, 10)],
  ["2014-12-06T02:10", at(2014, 12, 6, 2, 10)],
  ["2014-12-06t02:10:11z", clock],
  ["2014-12-06  02:10:11", clock],
  ["2014-12-06T02:10:11.5", clock + 500],
  ["2014-12-06T02:10:11,25", clock + 250],
  ["2014-12-06T02:10:11.005", clock + 5],
  ["2014-12-06T02:10:11.123456", clock + 123.456],
  ["2014-12-06T02:10:11.123456789Z", clock + 123.456789],
  ["2014-12-06 02:10:11 UTC", clock],
  ["2014-12-06 02:10:11 GMT", clock],
  ["2014-12-06 02:10:11+00", clock],
  ["2014-12-06 04:10:11+02", clock],
  ["2014-12-06 07:40:11+0530", clock],
  ["2014-12-05T21:10:11-05:00", clock],
  ["2014-12-06 02:10:11 +0000 UTC", clock],
  ["2014-12-06T03:10:11+01:00[Europe/Paris]", clock],
  ["2014-12-06Z", six],
  ["2014-12-06+01:00", six - 3_600_000],
  ["20141206T021011", clock],
  ["20141206T021011Z", clock],
  ["20141206T0210", at(2014, 12, 6, 2, 10)],
  ["20141206 02:10:11", clock],
  ["20141206 2:10:11", clock],
  ["2014/12/06", six],
  ["2014.12.06", six],
  ["2014/12/6 2:10:11 AM", clock],
  ["13/12/2014", at(2014, 12, 13)],
  ["12/13/2014", at(2014, 12, 13)],
  ["13-12-14", at(2014, 12, 13)],
  ["13/12/68", at(2068, 12, 13)],
  ["13/12/69", at(1969, 12, 13)],
  ["06.12.2014", six],
  ["6.12.14 02:10:11", clock],
  ["13/12/2014, 02:10", at(2014, 12, 13, 2, 10)],
  ["13/12/2014 02", at(2014, 12, 13, 2)],
  ["11/13/2019 10:01:58 AM", at(2019, 11, 13, 10, 1, 58)],
  ["11/13/2019 10:01:58 pm", at(2019, 11, 13, 22, 1, 58)],
  ["11/13/2019 10:01:58PM", at(2019, 11, 13, 22, 1, 58)],
  ["11/13/2019 9 p.m.", at(2019, 11, 13, 21)],
  ["11/13/2019 12:30 AM", at(2019, 11, 13, 0, 30)],
  ["11/13/2019 12:30 PM", at(2019, 11, 13, 12, 30)],
  ["Dec 6, 2014", six],
  ["dec 6 2014", six],
  ["Dec. 6, 2014", six],
  ["Dec 6th, 2014", six],
  ["DECEMBER 6, 2014", six],
  ["December 6, 2014 10:30 PM", at(2014, 12, 6, 22, 30)],
  ["Dec 6, 2014, 10:30:11 PM", at(2014, 12, 6, 22, 30, 11)],
  ["Sept 6, 2014", at(2014, 9, 6)],
  ["6 Dec 2014", six],
  ["6 December 2014 02:10:11", clock],
  ["6-Dec-14", six],
  ["06-DEC-2014", six],
  ["06 Dec, 2014", six],
  ["2014-Dec-06", six],
  ["2014 December 6", six],
  ["Sat, 06 Dec 2014 02:10:11 GMT", clock],
  ["Sat, 6 Dec 2014 02:10:11 +0000", clock],
  ["Saturday, December 6, 2014", six],
  ["Fri, 05 Dec 2014 21:10:11 EST", clock],
  ["Fri, 05 Dec 2014 21:10:11 -0500 (EST)", clock],
  ["Sat Dec 06 02:10:11 +0000 2014", clock],
  ["Fri Dec 05 18:10:11 PST 2014", clock],
  ["Sat Dec 06 03:10:11 CET 2014", clock],
  ["Sat Dec  6 02:10:11 2014", clock],
  ["Sat Dec 06 2014 10:10:11 GMT+0800 (China Standard Time)", clock],
  ["06/Dec/2014:02:10:11 +0000", clock],
  ["09 13, 2009", at(2009, 9, 13)],
  ["9 3, 2009", at(2009, 9, 3)],
  ["2016-02-29", at(2016, 2, 29)],
  ["2000-02-29", at(2000, 2, 29)],
  ["0099-12-31", Date.parse("0099-12-31T00:00:00Z")],
  ["1899-12-31", at(1899, 12, 31)],
  ["2016-05-01 +900000 ms", at(2016, 5, 1, 0, 15)]
]

const none = [
  "",
  " ",
  "NULL",
  "NaN",
  "NaT",
  "\\N",
  "soon",
  "soon 1",
  "may",
  "inf",
  "Infinity",
  "1e999",
  "0x10",
  "1_000",
  "12,500",
  "2014-02-30",
  "2015-02-29",
  "1900-02-29",
  "2014-00-10",
  "2014-13-01",
  "2014-13",
  "2014-12-00",
  "2014-12-06 2",
  "2014-12-06-05",
  "2014-12-06 02-05",
  "2014-12/06",
  "2014-12-06 25:00:00",
  "2014-12-06 24:00:00",
  "2014-12-06 23:60",
  "2014-12-06 23:59:60",
  "2014-12-06 02:1",
  "2014-12-06 02:10:11.",
  "2014-12-06 02:10:11.1234567890",
  "2014-12-06 02:10:11 IST",
  "2014-12-06 02:10:11 BST",
  "2014-12-06 02:10:11+25:00",
  "2014-12-06 02:10:11 at home",
  "20141306T021011",
  "20141206T2",
  "30/02/2014",
  "13/13/2014",
  "11/13/2019 13:01 PM",
  "11/13/2019 0:01 AM",
  "12/06",
  "1/2/3",
  "1.2.3",
  "12/06/201",
  "Dex 6, 2014",
  "Dec 32, 2014",
  "Decem 6, 2014",
  "6 Dec",
  "13 09, 2009",
  "2016-05-01 +x ms",
  "5 +900000 ms"
]

describe("EventTime", () => {
  it("reads every way to write a time, alone and after any other", () => {
    for (const [text, time] of single) {
      assert.deepStrictEqual(times([text]), [time], text)
      assert.deepStrictEqual(times([`  ${text}\t`]), [time], text)
    }
    for (const text of none) assert.deepStrictEqual(times([text]), [Number.NaN], text)
    const dates = single.filter(([text]) => !/^-?[\d.,]+(?:e\d+)?$|^(?:\d\d[/-]){2}/.test(text) || /^20.*\./.test(text))
    assert.isAbove(dates.length, 60)
    const numbersAside = none.filter((text) => !/^\d+,\d+$/.test(text))
    const blank = numbersAside.map(() => Number.NaN)
    for (const [before, time] of dates) {
      assert.deepStrictEqual(
        times([...dates.map(([text]) => text), before, ...numbersAside]),
        [...dates.map(([, time]) => time), time, ...blank],
        before
      )
      for (const text of none) assert.deepStrictEqual(times([before, text]), [time, Number.NaN], `${before}, ${text}`)
    }
  })

  it("parses one text with the month first, unless it is told otherwise or dots are written", () => {
    assert.strictEqual(EventTime.parse("12/1/2010 8:26"), at(2010, 12, 1, 8, 26))
    assert.strictEqual(EventTime.parse("12/1/2010 8:26", "day-first"), at(2010, 1, 12, 8, 26))
    assert.isNaN(EventTime.parse("13/1/2010"))
    assert.isNaN(EventTime.parse("1/13/2010", "day-first"))
    assert.strictEqual(EventTime.parse("12.1.2010"), at(2010, 1, 12))
    assert.strictEqual(EventTime.parse("12.1.2010", "month-first"), at(2010, 12, 1))
    assert.isNaN(EventTime.parse("12,5"))
    assert.strictEqual(EventTime.parse("20141206"), 20141206)
  })

  it("one row over 12 decides the order of day and month for every row", () => {
    const shuffled = ["11/02/2011", "22/02/2011", "03/05/2011 10:00", "04/08/2011"]
    const right = [at(2011, 2, 11), at(2011, 2, 22), at(2011, 5, 3, 10), at(2011, 8, 4)]
    for (let turn = 0; turn < 4; turn++) {
      assert.deepStrictEqual(times(shuffled), right)
      shuffled.push(shuffled.shift()!)
      right.push(right.shift()!)
    }
    assert.strictEqual(formatOf(shuffled), "day first (DD/MM/YYYY)")
    assert.deepStrictEqual(times(["11/12/2019 9:05:00 AM", "11/13/2019 9:05:00 PM"]), [
      at(2019, 11, 12, 9, 5),
      at(2019, 11, 13, 21, 5)
    ])
    assert.strictEqual(formatOf(["11-12-19", "11-13-19"]), "month first (MM-DD-YY)")
    assert.deepStrictEqual(times(["11/12/2019", "2019-11-12", "11/13/2019", "no", "17"]), [
      at(2019, 11, 12),
      at(2019, 11, 12),
      at(2019, 11, 13),
      Number.NaN,
      Number.NaN
    ])
  })

  it("without such a row the column is ambiguous, with the date as either reads it", () => {
    assert.deepStrictEqual(times(["05/05/2011", "06/12/2014 23:00", "01/02/2011"]), {
      _tag: "Ambiguous",
      example: "06/12/2014 23:00",
      dayFirst: "2014-12-06",
      monthFirst: "2014-06-12"
    })
    assert.deepStrictEqual(times(["05/05/2011", "06/06/2014"]), [at(2011, 5, 5), at(2014, 6, 6)])
    assert.match(formatOf(["05/05/2011"]), /same in every row/)
    assert.deepStrictEqual(times(["06/12/2014"], { order: "day-first" }), [six])
    assert.deepStrictEqual(times(["06/12/2014"], { order: "month-first" }), [at(2014, 6, 12)])
    assert.strictEqual(formatOf(["06/12/2014"], { order: "month-first" }), "month first (MM/DD/YYYY)")
  })

  it("rows that contradict one another are told, unless the order is fixed", () => {
    const texts = ["01/02/2014", "13/02/2014", "02/14/2014"]
    assert.deepStrictEqual(times(texts), {
      _tag: "Mixed",
      dayFirstExample: "13/02/2014",
      monthFirstExample: "02/14/2014"
    })
    assert.deepStrictEqual(times(texts, { order: "day-first" }), [at(2014, 2, 1), at(2014, 2, 13), Number.NaN])
    assert.deepStrictEqual(times(texts, { order: "month-first" }), [at(2014, 1, 2), Number.NaN, at(2014, 2, 14)])
  })

  it("dots are day first, and decide nothing about slashes", () => {
    assert.deepStrictEqual(times(["06.12.2014", "01.02.2014"]), [six, at(2014, 2, 1)])
    assert.strictEqual(formatOf(["06.12.2014"]), "day first (DD.MM.YYYY)")
    assert.strictEqual(formatOf(["13.12.2014", "01/02/2014"]), "Ambiguous")
  })

  it("of numbers and dates the rarer are none, whatever they would be alone", () => {
    assert.deepStrictEqual(times(["2014-12-06", "1417831811", "2014-12-06"]), [six, Number.NaN, six])
    assert.deepStrictEqual(times(["5", "1417831811", "2014-12-06"]), [5, 1417831811, Number.NaN])
    assert.deepStrictEqual(times(["5", "2014-12-06"]), [Number.NaN, six])
    assert.deepStrictEqual(times(["5", "6", "7", "01/02/2014"]), [5, 6, 7, Number.NaN])
    assert.deepStrictEqual(times(["5", "6", "7", "13/02/2014", "02/14/2014"]), [5, 6, 7, Number.NaN, Number.NaN])
    assert.deepStrictEqual(times(["5", "2014-12-06", "2014.5", "2014-12-06"]), [Number.NaN, six, Number.NaN, six])
  })

  it("digits of a date are numbers, and dates where the column shows it", () => {
    assert.deepStrictEqual(times(["20141206", "20141207"]), [20141206, 20141207])
    assert.strictEqual(formatOf(["20141206"]), "numbers")
    assert.deepStrictEqual(times(["20141206", "2014-12-06", "20141206021011", "201412060210"]), [
      six,
      six,
      clock,
      at(2014, 12, 6, 2, 10)
    ])
    assert.deepStrictEqual(times(["20141206", "20141206021011"]), [six, clock])
    assert.deepStrictEqual(times(["20141206", "20141306"]), [20141206, 20141306])
    assert.deepStrictEqual(times(["20141206", "20141206021011", "7"]), [20141206, 20141206021011, 7])
    assert.deepStrictEqual(times(["20141206", "20141306", "2014-12-06", "2014-12-07"]), [
      six,
      Number.NaN,
      six,
      at(2014, 12, 7)
    ])
  })

  it("decimal commas make numbers, unless the column has more decimal points", () => {
    assert.deepStrictEqual(times(["1577836800,5", "1577836801", "-1,25"]), [1577836800.5, 1577836801, -1.25])
    assert.strictEqual(formatOf(["1577836800,5"]), "numbers with decimal commas")
    assert.deepStrictEqual(times(["1,5", "2.5", "3.5"]), [Number.NaN, 2.5, 3.5])
    assert.deepStrictEqual(times(["1,5", "2,5", "3.5"]), [1.5, 2.5, Number.NaN])
    // Thousands or decimals?
    assert.deepStrictEqual(times(["999", "1,000"]), [999, Number.NaN])
    assert.deepStrictEqual(times(["1577836800,123"]), [1577836800.123])
  })

  it("instants written in any format are read back to the format's precision", () => {
    const two = (value: number) => String(value).padStart(2, "0")
    const short = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    const half = (h: number) => `${h % 12 === 0 ? 12 : h % 12}`
    const day = 86_400_000
    type Written = readonly [precision: number, write: (date: Date, zone: number) => string]
    const hms = (d: Date) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`
    const ymd = (d: Date, s: string) => `${d.getUTCFullYear()}${s}${two(d.getUTCMonth() + 1)}${s}${two(d.getUTCDate())}`
    const dmy = (d: Date, s: string) => `${two(d.getUTCDate())}${s}${two(d.getUTCMonth() + 1)}${s}${d.getUTCFullYear()}`
    const mdy = (d: Date, s: string) => `${d.getUTCMonth() + 1}${s}${d.getUTCDate()}${s}${d.getUTCFullYear()}`
    const halves = (d: Date) =>
      `${half(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} ${
        d.getUTCHours() < 12 ? "AM" : "PM"
      }`
    const offset = (zone: number, colon: string) =>
      `${zone < 0 ? "-" : "+"}${two(Math.floor(Math.abs(zone) / 60))}${colon}${two(Math.abs(zone) % 60)}`
    const local = (d: Date, zone: number) => new Date(d.getTime() + zone * 60_000)
    const written: Readonly<Record<string, Written>> = {
      "ISO with milliseconds": [1, (d) => d.toISOString()],
      "ISO with a zone": [1, (d, z) => local(d, z).toISOString().replace("Z", offset(z, ":"))],
      "ISO with seconds": [1000, (d) => `${ymd(d, "-")} ${hms(d)}`],
      "ISO with hours": [3_600_000, (d) => `${ymd(d, "-")} ${two(d.getUTCHours())}`],
      "ISO date": [day, (d) => ymd(d, "-")],
      "compact with a clock": [1000, (d) => `${ymd(d, "")}T${hms(d).replaceAll(":", "")}`],
      "year first": [1000, (d) => `${ymd(d, "/")} ${hms(d)}`],
      "day first": [day, (d) => dmy(d, "/")],
      "day first with dots": [1000, (d) => `${dmy(d, ".")} ${hms(d)}`],
      "day first with dashes": [1000, (d) => `${dmy(d, "-")} ${hms(d)}`],
      "month first": [1000, (d) => `${mdy(d, "/")} ${halves(d)}`],
      "two digits of the year": [day, (d) => dmy(d, "/").replace(/\d\d(\d\d)$/, "$1")],
      "Amazon": [day, (d) => `${two(d.getUTCMonth() + 1)} ${d.getUTCDate()}, ${d.getUTCFullYear()}`],
      "English": [
        1000,
        (d) => `${short[d.getUTCMonth()]} ${d.getUTCDate()}, ${d.getUTCFullYear()} ${halves(d).toLowerCase()}`
      ],
      "mail": [1000, (d) => d.toUTCString()],
      "ctime": [
        1000,
        (d) =>
          `${weekdays[d.getUTCDay()]} ${short[d.getUTCMonth()]} ${String(d.getUTCDate()).padStart(2)} ${
            hms(d)
          } ${d.getUTCFullYear()}`
      ],
      "Twitter": [1000, (d, z) => {
        const l = local(d, z)
        return `${weekdays[l.getUTCDay()]} ${short[l.getUTCMonth()]} ${two(l.getUTCDate())} ${hms(l)} ${
          offset(z, "")
        } ${l.getUTCFullYear()}`
      }],
      "Apache": [1000, (d, z) => {
        const l = local(d, z)
        return `${two(l.getUTCDate())}/${short[l.getUTCMonth()]}/${l.getUTCFullYear()}:${hms(l)} ${offset(z, "")}`
      }],
      "seconds": [1000, (d) => String(Math.floor(d.getTime() / 1000))]
    }
    for (const [seed, [name, [precision, write]]] of Object.entries(written).entries()) {
      const next = Random.uniform(13, seed)
      const instants = Array.from({ length: 500 }, () => Math.floor((next() * 2 - 0.02) * 1.5e12))
      const texts = instants.map((instant) => write(new Date(instant), Math.floor(next() * 96 - 48) * 15))
      const unit = name === "seconds" ? 1000 : 1
      const right = instants.map((instant) => Math.floor(instant / precision) * precision / unit)
      assert.deepStrictEqual(times(texts), right, name)
    }
  })

  it("joins a date and a clock of two cells", () => {
    const cases: ReadonlyArray<readonly [string, string, number]> = [
      ["2017-04-01", "20", at(2017, 4, 1, 20)],
      ["2017-04-01", "9", at(2017, 4, 1, 9)],
      ["2017-04-01", "9.0", at(2017, 4, 1, 9)],
      ["2017-04-01", " 20:15 ", at(2017, 4, 1, 20, 15)],
      ["2017-04-01", "9:05", at(2017, 4, 1, 9, 5)],
      ["2017-04-01", "09:05:30.250", at(2017, 4, 1, 9, 5, 30, 250)],
      ["2017-04-01", "9 AM", at(2017, 4, 1, 9)],
      ["2017-04-01", "12:30 a.m.", at(2017, 4, 1, 0, 30)],
      ["2017-04-01", "12:30pm", at(2017, 4, 1, 12, 30)],
      ["2017-04-01", "526309", at(2017, 4, 1, 0, 8, 46, 309)],
      ["2017-04-01", "90000000", at(2017, 4, 2, 1)],
      ["2017-04-01 00:00:00", "20", at(2017, 4, 1, 20)],
      ["2017-04-01T00:00:00.000Z", "20:15", at(2017, 4, 1, 20, 15)],
      ["2017-04-01 00:00:00+02:00", "20:15", at(2017, 4, 1, 18, 15)],
      ["4/13/2017 12:00:00 AM", "8:15 PM", at(2017, 4, 13, 20, 15)],
      ["2017-04-01 10:30", "10", at(2017, 4, 1, 10, 30)],
      ["2017-04-01", "1899-12-30 20:15:00", at(2017, 4, 1, 20, 15)],
      ["2017-04-01", "0 days 20:15:00", at(2017, 4, 1, 20, 15)],
      ["20170401", "20", at(2017, 4, 1, 20)],
      ["13/04/2017", "20:15", at(2017, 4, 13, 20, 15)],
      ["April 1, 2017", "20:15", at(2017, 4, 1, 20, 15)],
      ["2017-04-01", "", Number.NaN],
      ["NULL", "20", Number.NaN],
      ["2017-04-01", "25:00", Number.NaN],
      ["2017-04-01", "20.15", Number.NaN],
      ["2017-04-01", "+02:00", Number.NaN],
      ["2017-04-01", "evening", Number.NaN],
      ["soon", "20", Number.NaN],
      ["soon", "526309", Number.NaN]
    ]
    for (const [date, time, right] of cases) {
      assert.deepStrictEqual(times([EventTime.joined(date, time)]), [right], `${date} and ${time}`)
    }
    assert.deepStrictEqual(times([EventTime.joined("2017-04-01", "20", "milliseconds")]), [at(2017, 4, 1) + 20])
    assert.deepStrictEqual(
      times([EventTime.joined("11/02/2017", "900000"), EventTime.joined("22/02/2017", "100")]),
      [at(2017, 2, 11, 0, 15), at(2017, 2, 22) + 100]
    )
  })

  it("tells what the values of a column look like", () => {
    const looks: ReadonlyArray<readonly [ReturnType<typeof EventTime.looksLike>, ReadonlyArray<string>]> = [
      ["epoch", ["1417831811", "1417831812.5", "", "NULL"]],
      ["epoch", ["1417831811000"]],
      ["epoch", ["1417831811000000"]],
      ["epoch", ["1417831811000000000"]],
      ["number", ["1417831811", "1417831811000"]],
      ["number", ["17", "18", "-4.5"]],
      ["number", ["0511", "1110"]],
      ["number", ["4,5", "3,25"]],
      ["number", ["0", "1", "1"]],
      ["date", ["2014-12-06 02"]],
      ["date", ["06/12/2014", "13/12/2014"]],
      ["date", ["20141206", "20141207"]],
      ["date", ["Dec 6, 2014"]],
      ["date", [...Array.from({ length: 9 }, () => "2014-12-06"), "soon"]],
      ["none", ["2014-12-06", "soon"]],
      ["clock", ["20", "9", "15"]],
      ["clock", ["20:15", "9:05 PM"]],
      ["clock", ["1899-12-30 20:15:00"]],
      ["none", ["B00001", "B00002"]],
      ["none", ["", "NULL"]],
      ["none", []]
    ]
    for (const [kind, samples] of looks) assert.strictEqual(EventTime.looksLike(samples), kind, samples.join(" | "))
  })

  it("a builder grows and keeps the order, whenever the open dates come", () => {
    const length = 5000
    const texts = Array.from(
      { length },
      (_, row): string => row < 2000 ? "2014-12-06" : row === 2000 ? "07/12/2014" : "x"
    )
    texts[length - 1] = "13/12/2014"
    const builder = EventTime.builder()
    for (const text of texts) builder.add(text)
    const found = builder.finish()
    assert.strictEqual(found._tag, "Times")
    if (found._tag !== "Times") return
    assert.strictEqual(found.times.length, length)
    assert.isTrue(found.times.subarray(0, 2000).every((time) => time === six))
    assert.strictEqual(found.times[2000], at(2014, 12, 7))
    assert.isTrue(found.times.subarray(2001, length - 1).every(Number.isNaN))
    assert.strictEqual(found.times[length - 1], at(2014, 12, 13))
    assert.strictEqual(found.format, "ISO 8601, day first (DD/MM/YYYY)")
  })
})
