/**
 * Vocabulary of the generated shop: departments, shelves, brands, and the complements of shelves.
 */

/** A shelf of a department: nouns and traits of its items, and complementary shelves. */
export interface Shelf {
  readonly name: string
  readonly nouns: ReadonlyArray<string>
  readonly traits: ReadonlyArray<string>
  /** Names of shelves whose items complement these, most likely first. */
  readonly leadsTo: ReadonlyArray<string>
}

/** A department with its shelves. */
export interface Department {
  readonly name: string
  readonly shelves: ReadonlyArray<Shelf>
}

const shelf = (name: string, nouns: string, traits: string, leadsTo: string): Shelf => ({
  name,
  nouns: nouns.split(", "),
  traits: traits.split(", "),
  leadsTo: leadsTo.split(", ")
})

/** The departments, twelve with five shelves each. */
export const departments: ReadonlyArray<Department> = [
  {
    name: "Office",
    shelves: [
      shelf(
        "Printers",
        "laser printer, inkjet printer, photo printer",
        "wireless, duplex, compact, colour, 28 pages a minute",
        "Ink and toner, Paper"
      ),
      shelf(
        "Ink and toner",
        "ink cartridge, toner cartridge, ink bottle set",
        "black, cyan, high yield, twin pack, tricolour",
        "Paper, Printers"
      ),
      shelf(
        "Paper",
        "copy paper, photo paper, card stock",
        "A4 500 sheets, recycled, glossy, 120 gsm, bright white",
        "Filing, Ink and toner"
      ),
      shelf(
        "Filing",
        "ring binder, document wallet, label set",
        "A4, set of ten, assorted colours, extra wide, with index",
        "Writing, Paper"
      ),
      shelf(
        "Writing",
        "gel pen, fountain pen, mechanical pencil",
        "0.5 mm, blue ink, pack of five, fine nib, refillable",
        "Notebooks, Filing"
      )
    ]
  },
  {
    name: "Stationery",
    shelves: [
      shelf(
        "Notebooks",
        "dotted notebook, sketchbook, weekly planner",
        "A5, 120 pages, hardcover, undated, with elastic band",
        "Writing, Art supplies"
      ),
      shelf(
        "Art supplies",
        "watercolour set, brush set, acrylic paint",
        "24 colours, travel size, for beginners, artist grade, vegan",
        "Craft, Notebooks"
      ),
      shelf(
        "Craft",
        "craft paper, glue gun, washi tape",
        "pastel, mini, set of twelve, extra strong, patterned",
        "Gift wrap, Art supplies"
      ),
      shelf(
        "Gift wrap",
        "wrapping paper, gift box, ribbon roll",
        "kraft, floral, gold foil, three sizes, 10 m",
        "Cards, Craft"
      ),
      shelf(
        "Cards",
        "greeting card, thank-you card, postcard set",
        "blank inside, letterpress, pack of eight, botanical, with envelopes",
        "Gift wrap, Writing"
      )
    ]
  },
  {
    name: "Photography",
    shelves: [
      shelf(
        "Cameras",
        "mirrorless camera, compact camera, instant camera",
        "24 megapixels, 4K video, retro body, weather sealed, with kit lens",
        "Memory cards, Lenses"
      ),
      shelf(
        "Lenses",
        "prime lens, zoom lens, macro lens",
        "35 mm, f/1.8, telephoto, wide angle, stabilised",
        "Filters, Camera bags"
      ),
      shelf(
        "Memory cards",
        "memory card, card reader, portable drive",
        "128 GB, 64 GB, high speed, USB-C, rugged",
        "Camera bags, Cameras"
      ),
      shelf(
        "Filters",
        "polarising filter, ND filter, lens cap",
        "67 mm, slim, multi-coated, variable, 52 mm",
        "Lenses, Tripods"
      ),
      shelf(
        "Camera bags",
        "camera bag, camera strap, lens pouch",
        "padded, waxed canvas, quick access, leather, waterproof",
        "Tripods, Memory cards"
      )
    ]
  },
  {
    name: "Audio",
    shelves: [
      shelf(
        "Headphones",
        "over-ear headphones, earbuds, studio headphones",
        "noise cancelling, wireless, foldable, open back, 40 h battery",
        "Headphone care, Players"
      ),
      shelf(
        "Headphone care",
        "ear pad set, carrying case, replacement cable",
        "memory foam, hard shell, braided, velour, 1.5 m",
        "Headphones, Players"
      ),
      shelf(
        "Players",
        "music player, portable radio, turntable",
        "hi-res, DAB, belt drive, with Bluetooth, pocket size",
        "Vinyl care, Speakers"
      ),
      shelf(
        "Vinyl care",
        "record brush, stylus, inner sleeves",
        "carbon fibre, elliptical, pack of fifty, anti-static, diamond tip",
        "Players, Speakers"
      ),
      shelf(
        "Speakers",
        "bookshelf speakers, smart speaker, soundbar",
        "active, walnut, stereo pair, waterproof, with subwoofer",
        "Cables, Players"
      )
    ]
  },
  {
    name: "Computing",
    shelves: [
      shelf(
        "Laptops",
        "laptop, ultrabook, convertible notebook",
        "14 inch, 16 GB, touch screen, fanless, 1 TB",
        "Laptop sleeves, Docks"
      ),
      shelf(
        "Laptop sleeves",
        "laptop sleeve, laptop backpack, laptop stand",
        "felt, 15 inch, adjustable, slim, water repellent",
        "Keyboards, Docks"
      ),
      shelf(
        "Docks",
        "USB-C dock, hub, external monitor",
        "11 ports, dual display, 27 inch, travel, with power delivery",
        "Cables, Keyboards"
      ),
      shelf(
        "Keyboards",
        "mechanical keyboard, wireless mouse, trackball",
        "brown switches, low profile, ergonomic, silent, tenkeyless",
        "Desk mats, Docks"
      ),
      shelf(
        "Cables",
        "USB-C cable, HDMI cable, extension lead",
        "2 m, braided, 100 W, right angle, pack of three",
        "Docks, Desk mats"
      )
    ]
  },
  {
    name: "Home",
    shelves: [
      shelf(
        "Desks",
        "standing desk, writing desk, corner desk",
        "oak, electric, foldable, 140 cm, with drawer",
        "Desk lamps, Desk mats"
      ),
      shelf(
        "Desk lamps",
        "desk lamp, clip lamp, light bar",
        "dimmable, brass, warm white, with USB port, swing arm",
        "Light bulbs, Desks"
      ),
      shelf(
        "Light bulbs",
        "LED bulb, filament bulb, smart bulb",
        "E27, 60 W equivalent, amber, pack of four, tunable",
        "Desk lamps, Candles"
      ),
      shelf(
        "Desk mats",
        "desk mat, cable box, monitor riser",
        "wool felt, cork, bamboo, extra large, two tier",
        "Keyboards, Desks"
      ),
      shelf(
        "Candles",
        "scented candle, candle holder, reed diffuser",
        "cedar, soy wax, fig, ceramic, 50 h",
        "Bedding, Cushions"
      )
    ]
  },
  {
    name: "Bedroom",
    shelves: [
      shelf(
        "Bedding",
        "duvet cover, fitted sheet, bedspread",
        "linen, king size, washed cotton, striped, organic",
        "Pillows, Cushions"
      ),
      shelf(
        "Pillows",
        "pillow, bolster, neck pillow",
        "down, memory foam, side sleeper, firm, set of two",
        "Bedding, Sleep aids"
      ),
      shelf(
        "Cushions",
        "cushion, throw, pouffe",
        "velvet, chunky knit, 50 cm, with filling, bouclé",
        "Candles, Bedding"
      ),
      shelf(
        "Sleep aids",
        "sleep mask, white noise machine, weighted blanket",
        "silk, 7 kg, rechargeable, contoured, cooling",
        "Pillows, Tea"
      ),
      shelf(
        "Storage",
        "storage basket, under-bed box, hanger set",
        "rattan, with lid, velvet, foldable, pack of twenty",
        "Bedding, Cleaning"
      )
    ]
  },
  {
    name: "Kitchen",
    shelves: [
      shelf(
        "Coffee makers",
        "espresso machine, pour-over set, French press",
        "15 bar, glass, double wall, one litre, with milk frother",
        "Coffee, Mugs"
      ),
      shelf(
        "Coffee",
        "coffee beans, ground coffee, coffee capsules",
        "dark roast, single origin, decaf, 1 kg, fruity",
        "Mugs, Coffee makers"
      ),
      shelf(
        "Mugs",
        "mug, espresso cup, travel mug",
        "stoneware, set of four, leakproof, speckled, 350 ml",
        "Coffee, Tea"
      ),
      shelf(
        "Tea",
        "loose tea, tea bags, teapot",
        "earl grey, peppermint, with strainer, jasmine, organic",
        "Mugs, Sleep aids"
      ),
      shelf(
        "Cookware",
        "frying pan, saucepan, casserole",
        "cast iron, 28 cm, non-stick, enamelled, with lid",
        "Utensils, Knives"
      )
    ]
  },
  {
    name: "Dining",
    shelves: [
      shelf(
        "Knives",
        "chef's knife, bread knife, paring knife",
        "20 cm, damascus, serrated, forged, olive wood",
        "Sharpeners, Cookware"
      ),
      shelf(
        "Sharpeners",
        "whetstone, honing steel, knife block",
        "1000 grit, ceramic, magnetic, double sided, acacia",
        "Knives, Utensils"
      ),
      shelf(
        "Utensils",
        "spatula, ladle, tongs",
        "silicone, beech, stainless steel, set of five, heat resistant",
        "Cookware, Baking"
      ),
      shelf(
        "Baking",
        "loaf tin, mixing bowl, rolling pin",
        "carbon steel, nesting, marble, non-stick, 900 g",
        "Utensils, Tableware"
      ),
      shelf(
        "Tableware",
        "dinner plate, cutlery set, tumbler",
        "matt black, 24 pieces, recycled glass, reactive glaze, set of six",
        "Baking, Mugs"
      )
    ]
  },
  {
    name: "Garden",
    shelves: [
      shelf(
        "Plants",
        "indoor plant, succulent, herb seedling",
        "pet safe, low light, in 12 cm pot, trailing, flowering",
        "Pots, Plant food"
      ),
      shelf(
        "Pots",
        "plant pot, hanging planter, saucer",
        "terracotta, 20 cm, self-watering, glazed, macramé",
        "Potting soil, Plants"
      ),
      shelf(
        "Potting soil",
        "potting soil, bark mulch, perlite",
        "peat free, 10 litres, for cacti, organic, coarse",
        "Plant food, Pots"
      ),
      shelf(
        "Plant food",
        "plant food, fertiliser spikes, pest spray",
        "liquid, slow release, concentrate, for orchids, seaweed",
        "Watering, Plants"
      ),
      shelf(
        "Watering",
        "watering can, hose reel, plant mister",
        "copper, 25 m, long spout, 1.5 litres, wall mounted",
        "Garden tools, Plant food"
      )
    ]
  },
  {
    name: "Outdoors",
    shelves: [
      shelf(
        "Tents",
        "tent, tarp, bivvy bag",
        "two person, 1.2 kg, four season, quick pitch, with footprint",
        "Sleeping bags, Stoves"
      ),
      shelf(
        "Sleeping bags",
        "sleeping bag, sleeping mat, liner",
        "down, inflatable, -5 °C, silk, extra long",
        "Tents, Headlamps"
      ),
      shelf(
        "Stoves",
        "camping stove, gas canister, mess kit",
        "ultralight, 230 g, windproof, titanium, for two",
        "Headlamps, Tents"
      ),
      shelf(
        "Headlamps",
        "headlamp, lantern, battery pack",
        "400 lumens, rechargeable, red light, solar, 20,000 mAh",
        "Stoves, Sleeping bags"
      ),
      shelf(
        "Tripods",
        "tripod, monopod, phone mount",
        "carbon, travel, with ball head, flexible, 1.6 m",
        "Camera bags, Cameras"
      )
    ]
  },
  {
    name: "Workshop",
    shelves: [
      shelf(
        "Drills",
        "cordless drill, impact driver, rotary tool",
        "18 V, brushless, 12 V, with two batteries, compact",
        "Drill bits, Batteries"
      ),
      shelf(
        "Drill bits",
        "drill bit set, screwdriver bits, hole saw",
        "titanium, 19 pieces, for masonry, magnetic, cobalt",
        "Fixings, Drills"
      ),
      shelf(
        "Batteries",
        "tool battery, charger, AA batteries",
        "5 Ah, fast, pack of eight, dual bay, rechargeable",
        "Drills, Garden tools"
      ),
      shelf(
        "Fixings",
        "wood screws, wall plugs, hook set",
        "4 x 40 mm, stainless, box of 200, heavy duty, brass",
        "Drill bits, Cleaning"
      ),
      shelf(
        "Cleaning",
        "workshop vacuum, microfibre cloths, all-purpose cleaner",
        "20 litres, lint free, citrus, pack of ten, refill",
        "Storage, Fixings"
      )
    ]
  }
]

/** Brands with two series each; every department has six brands. */
export const brands: ReadonlyArray<{ readonly name: string; readonly series: readonly [string, string] }> = [
  { name: "Brightleaf", series: ["Meadow", "Canopy"] },
  { name: "Northvale", series: ["Fjord", "Summit"] },
  { name: "Kestrel", series: ["Glide", "Talon"] },
  { name: "Ostara", series: ["Dawn", "Solstice"] },
  { name: "Halden", series: ["Core", "Forge"] },
  { name: "Lumera", series: ["Glow", "Prism"] },
  { name: "Tidewater", series: ["Harbour", "Drift"] },
  { name: "Quillon", series: ["Scribe", "Folio"] },
  { name: "Everstone", series: ["Slate", "Granite"] },
  { name: "Marlowe", series: ["Classic", "Atelier"] },
  { name: "Zephyrine", series: ["Breeze", "Gale"] },
  { name: "Copperline", series: ["Circuit", "Spark"] },
  { name: "Ashgrove", series: ["Timber", "Grain"] },
  { name: "Velora", series: ["Silk", "Satin"] },
  { name: "Pinnacle Works", series: ["Alpha", "Ridge"] },
  { name: "Sundial", series: ["Noon", "Shade"] },
  { name: "Fenwick & Co", series: ["Heritage", "Daily"] },
  { name: "Orbis", series: ["Nova", "Pulse"] }
]

/** Templates of sentences in descriptions; each `{...}` is replaced by the item's own word. */
export const sentences: ReadonlyArray<string> = [
  "A {noun} from the {series} series by {brand}, {trait}.",
  "{brand} makes this {noun} for people who use it every day.",
  "Part of our {shelf} range: {trait} and built to last.",
  "Pairs well with {next} of the same series.",
  "From the {department} department, {trait}."
]
