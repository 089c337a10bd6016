/* How the matrix uses its width: words where they fit, else glyphs under level heads, else glyphs under turned heads. */
import { models, targets } from "./cells";

const WORD = 106; // pixels that a word needs
const HEAD = 88; // and a level head
const NAME = 260; // and a name that may be cut
const TURNED = 30;
const WORD_TARGETS = 16; // up to here a column may have room for words

export const words = targets.length <= WORD_TARGETS;

const longest = models.reduce((most, { id }) => Math.max(most, id.length), 0);

export function fit(grid: HTMLElement): void {
  const count = targets.length;
  const room = grid.clientWidth;
  const name = Math.min(340, 30 + 8.6 * longest);
  grid.dataset.lines = count * 29 > room ? "many" : "one"; // as the style sheet lays cells out on a phone
  const each = (room - Math.min(name, NAME)) / count;
  if (words && each >= WORD) lay(grid, "words", Math.min(name, room - WORD * count), WORD, 140);
  else if (each >= HEAD) lay(grid, "heads", Math.min(name, room - HEAD * count), HEAD, 90);
  else lay(grid, "turned", name, TURNED, TURNED);
}

/** Share the width out: columns up to `most` pixels, the reason in what is left if that is enough to read it. */
function lay(grid: HTMLElement, look: string, name: number, least: number, most: number): void {
  const count = targets.length;
  const room = grid.clientWidth - name;
  const left = room - count * most;
  const why = look === "turned" ? Math.max(left, 250) : left >= 240 ? left : 0;
  const mark = why ? most : Math.max(least, room / count);
  grid.dataset.look = look;
  grid.dataset.why = why ? "shown" : "hidden";
  const head = grid.querySelector("thead")?.offsetHeight ?? 0;
  for (const [key, value] of Object.entries({ name, mark, why, head })) grid.style.setProperty(`--${key}`, `${value}px`);
}
