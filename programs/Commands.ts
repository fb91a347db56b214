/**
 * The commands of `sidereal`.
 */
import * as Command from "effect/cli/Command"
import * as Bench from "./commands/Bench.ts"
import * as Control from "./commands/Control.ts"
import * as Data from "./commands/Data.ts"
import * as Demo from "./commands/Demo.ts"
import * as Embed from "./commands/Embed.ts"
import * as Evaluate from "./commands/Evaluate.ts"
import * as Export from "./commands/Export.ts"
import * as Grpo from "./commands/Grpo.ts"
import * as Recommend from "./commands/Recommend.ts"
import * as Report from "./commands/Report.ts"
import * as Root from "./commands/Root.ts"
import * as Sft from "./commands/Sft.ts"
import * as Tokenize from "./commands/Tokenize.ts"
import * as Worker from "./commands/Worker.ts"

/** The root command with all commands. */
export const cli = Root.command.pipe(
  Command.withSubcommands([
    Demo.command,
    Data.command,
    Embed.command,
    Tokenize.command,
    Sft.command,
    Grpo.command,
    Control.command,
    Worker.command,
    Evaluate.command,
    Recommend.command,
    Export.command,
    Report.command,
    Bench.command
  ])
)
