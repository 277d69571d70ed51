// Words with the space after them; in scripts that are written without spaces, characters.
const WORD =
  /(?:[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{N}\p{M}_'’]+|[^\s])\s*|\s+/gu;
// The largest table of words against words that is filled: 800 against 800.
const LARGEST = 640000;

// Returns for each side its text in pieces, [piece, whether the other side does not have it], so
// that the pieces that both have are a longest common subsequence of words.
const wordDiff = (left, right) => {
  const sides = [left, right].map((text) => text.match(WORD) || []);
  const plain = sides.map((words) => words.map((word) => word.trim()));
  const [n, m] = [sides[0].length, sides[1].length];
  let head = 0;
  while (head < n && head < m && plain[0][head] === plain[1][head]) head += 1;
  let tail = 0;
  while (tail < n - head && tail < m - head && plain[0][n - 1 - tail] === plain[1][m - 1 - tail])
    tail += 1;
  const only = [new Array(n).fill(false), new Array(m).fill(false)];
  const inner = [plain[0].slice(head, n - tail), plain[1].slice(head, m - tail)];
  if (inner[0].length * inner[1].length > LARGEST) {
    only.forEach((marks, side) => marks.fill(true, head, head + inner[side].length));
  } else {
    mark(inner, only, head);
  }
  return sides.map((words, side) => joined(words, only[side]));
};

const mark = ([one, other], only, offset) => {
  const width = other.length + 1;
  const length = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      length[i * width + j] =
        one[i] === other[j]
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      i += 1;
      j += 1;
    } else if (
      j >= other.length ||
      (i < one.length && length[(i + 1) * width + j] >= length[i * width + j + 1])
    ) {
      only[0][offset + i] = true;
      i += 1;
    } else {
      only[1][offset + j] = true;
      j += 1;
    }
  }
};

const joined = (words, marks) => {
  const pieces = [];
  words.forEach((word, place) => {
    const last = pieces[pieces.length - 1];
    if (last && last[1] === marks[place]) last[0] += word;
    else pieces.push([word, marks[place]]);
  });
  return pieces;
};
