// Space: the numbers of a document as points, and where they lie in a calibrated view.

// The intrinsics (9) and the pose (12: rows of rotation and place) of a camera in a frame.
function cameraAt(camera, frame) {
  const at = camera.is_moving ? frame : 0
  return {
    k: camera.intrinsics.slice(9 * at, 9 * at + 9),
    m: camera.world_from_camera.slice(12 * at, 12 * at + 12),
  }
}

// A world point (m) in a camera's axes: x right, y down, z forward.
function inCamera({m}, point) {
  const d = [point[0] - m[3], point[1] - m[7], point[2] - m[11]]
  return [0, 1, 2].map(axis => m[axis] * d[0] + m[4 + axis] * d[1] + m[8 + axis] * d[2])
}

// Camera axes to pixels: x right, y down, centres at +0.5.
const toPixels = ({k}, [x, y, z]) => [(k[0] * x + k[1] * y) / z + k[2], (k[4] * y) / z + k[5]]

// The pixels of a world point; null at or behind the camera.
function project(camera, point) {
  const own = inCamera(camera, point)
  return own[2] > 1e-6 ? toPixels(camera, own) : null
}

// A camera's corner (px) at a depth (m) in the world.
function unproject({k, m}, [x, y], depth) {
  const v = (y - k[5]) / k[4], u = (x - k[2] - k[1] * v) / k[0]
  return [0, 1, 2].map(axis =>
    depth * (m[4 * axis] * u + m[4 * axis + 1] * v + m[4 * axis + 2]) + m[4 * axis + 3])
}

// How many poses a path has.
const lengthOf = path => path.opening.length

// Where the tool is at a pose of a path (m); null where that is not known.
function positionAt(path, pose) {
  if (pose < 0 || pose >= lengthOf(path)) return null
  const point = path.positions.slice(3 * pose, 3 * pose + 3)
  return point.includes(null) ? null : point
}

// The three points of an action image: the tool's position, along its x axis, against its z axis.
function spotsAt(path, pose, length) {
  const origin = positionAt(path, pose)
  if (!origin) return null
  const r = path.rotations.slice(9 * pose, 9 * pose + 9)
  if (r.includes(null)) return null
  const along = (column, sign) => origin.map((value, axis) => value + sign * length * r[3 * axis + column])
  return [origin, along(0, 1), along(2, -1)]
}

// Whether a path is to be seen in a frame, and its pose there.
const isShown = (path, frame) => !path.shown || (path.shown[0] <= frame && frame < path.shown[1])
const poseIn = (path, frame) => frame - path.start

// Whether a pose was read, not placed between its neighbours.
const isSure = (path, pose) => !path.confidence || path.confidence[pose] === null || path.confidence[pose] > 0

// The known points of a path as lines: [points, whether they were read].
function linesOf(path) {
  const lines = []
  let points = [], sure = true
  for (let pose = 0; pose < lengthOf(path); pose++) {
    const point = positionAt(path, pose), now = isSure(path, pose)
    if (points.length && (!point || now !== sure)) {
      if (point) points.push(point)
      lines.push([points, sure])
      points = []
    }
    if (point) points.push(point)
    sure = now
  }
  if (points.length) lines.push([points, sure])
  return lines
}
