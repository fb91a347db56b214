import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: process.env["SIDEREAL_LONG"] === "1" ? ["test/**/*.long.ts"] : ["test/**/*.test.ts", "examples/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: process.env["SIDEREAL_LONG"] === "1" ? 600_000 : 240_000,
    hookTimeout: 240_000
  }
})
