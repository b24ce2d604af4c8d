// Finds the pages of a database by a walk through its b-trees (https://www.sqlite.org/fileformat2.html).

const [INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE] = [2, 5, 10, 13]
const FILE_HEADER = 100

/** A page, as offsets in the file. */
export interface Page {
  number: number
  start: number
  end: number
  /** The ranges that are in use. The range between the cell pointers and the cells is free. */
  used: [start: number, end: number][]
}

/** All pages of the b-tree with this root page, and the overflow pages of its cells. */
export function* walk(file: Buffer, root: number): Generator<Page> {
  const size = file.readUInt16BE(16) === 1 ? 65536 : file.readUInt16BE(16)
  const usable = size - file.readUInt8(20)
  const start = (root - 1) * size
  const header = root === 1 ? FILE_HEADER : start
  const type = file.readUInt8(header)
  const isTable = type === LEAF_TABLE || type === INTERIOR_TABLE
  const isLeaf = type === LEAF_TABLE || type === LEAF_INDEX
  if (!isTable && !isLeaf && type !== INTERIOR_INDEX) throw new Error(`page ${root} is of no b-tree`)

  const pointers = header + (isLeaf ? 8 : 12)
  const count = file.readUInt16BE(header + 3)
  const content = start + (file.readUInt16BE(header + 5) || 65536)
  const end = start + size
  const used: Page['used'] = [
    [start, pointers + 2 * count],
    [content, end],
  ]
  yield { number: root, start, end, used }

  if (!isLeaf) yield* walk(file, file.readUInt32BE(header + 8))
  for (let n = 0; n < count; n++) {
    let at = start + file.readUInt16BE(pointers + 2 * n)
    if (!isLeaf) {
      yield* walk(file, file.readUInt32BE(at))
      at += 4
    }
    if (type === INTERIOR_TABLE) continue
    const [payload, length] = varint(file, at)
    at += length
    if (type === LEAF_TABLE) at += varint(file, at)[1]

    const most = isTable ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23
    if (payload <= most) continue
    const least = Math.floor(((usable - 12) * 32) / 255) - 23
    const fitting = least + ((payload - least) % (usable - 4))
    const local = fitting <= most ? fitting : least
    yield* overflow(file, size, usable, file.readUInt32BE(at + local), payload - local)
  }
}

function* overflow(
  file: Buffer,
  size: number,
  usable: number,
  first: number,
  length: number,
): Generator<Page> {
  for (let number = first, left = length; left > 0; left -= usable - 4) {
    const start = (number - 1) * size
    yield {
      number,
      start,
      end: start + size,
      used: [[start, start + 4 + Math.min(left, usable - 4)]],
    }
    number = file.readUInt32BE(start)
  }
}

function varint(file: Buffer, at: number): [value: number, length: number] {
  let value = 0
  for (let length = 1; length < 9; length++) {
    const byte = file.readUInt8(at + length - 1)
    value = value * 128 + (byte & 127)
    if (byte < 128) return [value, length]
  }
  return [value * 256 + file.readUInt8(at + 8), 9]
}
