// Vectors are arrays of 3. Rotations are arrays of 9, by rows. Matrices for WebGL are arrays of 16, by columns.

const add = (a, b) => a.map((x, i) => x + b[i]);
const sub = (a, b) => a.map((x, i) => x - b[i]);
const scaled = (a, s) => a.map(x => x * s);
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const size = a => Math.hypot(...a);
const unit = a => scaled(a, 1 / (size(a) || 1));
const within = (a, longest) => size(a) > longest ? scaled(a, longest / size(a)) : a;
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const radians = degrees => degrees * Math.PI / 180;

const column = (turn, i) => [turn[i], turn[3 + i], turn[6 + i]];
const turned = (turn, a) => [0, 3, 6].map(i => turn[i] * a[0] + turn[i + 1] * a[1] + turn[i + 2] * a[2]);
const turnedBack = (turn, a) => [0, 1, 2].map(i => dot(column(turn, i), a));
const product = (a, b) => [0, 1, 2].flatMap(i => [0, 1, 2].map(j => dot(a.slice(3 * i, 3 * i + 3), column(b, j))));
const transposed = a => [0, 1, 2].flatMap(i => column(a, i));

// The rotation by an angle about an axis, and back (Rodrigues).
function turnAbout(axis, angle) {
  const [x, y, z] = axis, c = Math.cos(angle), s = Math.sin(angle), t = 1 - c;
  return [t * x * x + c, t * x * y - s * z, t * x * z + s * y, t * x * y + s * z, t * y * y + c, t * y * z - s * x,
          t * x * z - s * y, t * y * z + s * x, t * z * z + c];
}

function axisAngle(turn) {
  const sines = scaled([turn[7] - turn[5], turn[2] - turn[6], turn[3] - turn[1]], 0.5);
  return scaled(unit(sines), Math.atan2(size(sines), (turn[0] + turn[4] + turn[8] - 1) / 2));
}

// A right-handed frame whose z is the given direction.
function frameAlong(z) {
  const x = unit(cross(Math.abs(z[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0], z)), y = cross(z, x);
  return [x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]];
}

const placed = (at, turn, scale = [1, 1, 1]) => [
  turn[0] * scale[0], turn[3] * scale[0], turn[6] * scale[0], 0,
  turn[1] * scale[1], turn[4] * scale[1], turn[7] * scale[1], 0,
  turn[2] * scale[2], turn[5] * scale[2], turn[8] * scale[2], 0, at[0], at[1], at[2], 1];

function times(a, b) {
  const out = new Array(16).fill(0);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++)
      for (let k = 0; k < 4; k++) out[4 * column + row] += a[4 * k + row] * b[4 * column + k];
  return out;
}

function perspective(height, aspect, near, far) {
  const f = 1 / Math.tan(height / 2);
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1,
          0, 0, 2 * far * near / (near - far), 0];
}

const parallel = (half, near, far) => [1 / half, 0, 0, 0, 0, 1 / half, 0, 0, 0, 0, 2 / (near - far), 0,
                                       0, 0, (far + near) / (near - far), 1];

function lookingFrom(eye, forward) {
  const right = unit(cross(forward, [0, 0, 1])), up = cross(right, forward);
  return [right[0], up[0], -forward[0], 0, right[1], up[1], -forward[1], 0, right[2], up[2], -forward[2], 0,
          -dot(right, eye), -dot(up, eye), dot(forward, eye), 1];
}
