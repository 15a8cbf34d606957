// Which words of a text another text does not have in its place: those outside their longest common subsequence.

const MOST = 800; // words: the table has the square of it

// The text in pieces, [{text, differs}], that make it again when they are put together.
export function differingWords(text, other) {
  const pieces = text.split(/(\s+)/);
  const mine = pieces.filter(isWord).slice(0, MOST);
  const kept = inCommon(mine, other.split(/\s+/).filter(isWord).slice(0, MOST));
  let at = 0;
  return pieces.filter(Boolean).map((piece) => ({ text: piece, differs: isWord(piece) && at < MOST && !kept[at++] }));
}

const isWord = (piece) => /\S/.test(piece);

// For each word of the first list whether it is among those that both have, in order.
function inCommon(mine, other) {
  const width = other.length + 1;
  const lengths = new Uint16Array((mine.length + 1) * width);
  for (let i = mine.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = mine[i] === other[j]
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const kept = [];
  for (let i = 0, j = 0; i < mine.length; i += 1) {
    while (j < other.length && mine[i] !== other[j] && lengths[i * width + j + 1] === lengths[i * width + j]) j += 1;
    kept[i] = j < other.length && mine[i] === other[j];
    if (kept[i]) j += 1;
  }
  return kept;
}
