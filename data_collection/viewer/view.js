// The robot and its world in 3-D: shapes once, poses as often as they come. See scene.py for both.

const POSE = 12;  // numbers of a pose: place, rotation by rows
const SHADOW = 1024;  // pixels of the shadow map
const LIGHT = unit([-0.45, -0.35, -1]);

const VERTEX = `#version 300 es
  uniform mat4 model, eye, light;
  layout(location = 0) in vec3 place;
  layout(location = 1) in vec3 normal;
  out vec3 at, facing, lit;
  void main() {
    vec4 world = model * vec4(place, 1.0);
    at = world.xyz;
    facing = transpose(inverse(mat3(model))) * normal;
    vec4 seen = light * world;
    lit = seen.xyz * 0.5 + 0.5;
    gl_Position = eye * world;
  }`;

const FRAGMENT = `#version 300 es
  precision highp float;
  uniform vec4 colour;
  uniform vec3 from, sun, ground;
  uniform float glow, isFloor, reach;
  uniform highp sampler2DShadow shadow;
  in vec3 at, facing, lit;
  out vec4 pixel;
  float sunshine() {
    float sum = 0.0;
    for (int i = -1; i <= 1; i++)
      for (int j = -1; j <= 1; j++)
        sum += texture(shadow, vec3(lit.xy + vec2(i, j) / ${SHADOW}.0, lit.z - 0.0025));
    return any(greaterThan(abs(lit - 0.5), vec3(0.5))) ? 1.0 : sum / 9.0;
  }
  void main() {
    vec3 n = normalize(facing), look = normalize(from - at);
    if (dot(n, look) < 0.0) n = -n;
    if (isFloor > 0.5) {
      vec2 cell = abs(fract(at.xy / 0.25 - 0.5) - 0.5) / fwidth(at.xy / 0.25);
      float line = 1.0 - min(min(cell.x, cell.y), 1.0);
      float far = smoothstep(0.25, 1.0, length(at - from) / reach);
      vec3 shown = mix(ground, colour.rgb, 0.06 + 0.22 * line) * mix(0.80, 1.0, sunshine());
      pixel = vec4(mix(shown, ground, far), 1.0);
      return;
    }
    float sky = 0.5 + 0.5 * n.z, direct = max(dot(n, -sun), 0.0) * sunshine();
    float edge = pow(1.0 - max(dot(n, look), 0.0), 4.0);
    float shine = pow(max(dot(n, normalize(look - sun)), 0.0), 40.0) * sunshine();
    vec3 shade = colour.rgb * (mix(0.30, 0.52, sky) + 0.42 * direct) + 0.06 * shine + 0.05 * edge;
    pixel = vec4(mix(shade, colour.rgb, glow), colour.a);
  }`;

const DEPTH_FRAGMENT = "#version 300 es\nprecision highp float;\nvoid main() {}";

class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", {antialias: true, alpha: false});
    this.camera = {lookat: [0, 0, 0], distance: 2, azimuth: 140, elevation: -25};
    this.items = [];
    this.poses = null;
    this.needed = true;
    if (this.gl) this.prepare();
  }

  prepare() {
    const gl = this.gl;
    this.seen = this.program(VERTEX, FRAGMENT);
    this.dark = this.program(VERTEX, DEPTH_FRAGMENT);
    this.shadow = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.shadow);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, SHADOW, SHADOW);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.LINEAR);
    for (const edge of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, edge, gl.CLAMP_TO_EDGE);
    this.shade = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shade);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.shadow, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  }

  program(vertex, fragment) {
    const gl = this.gl, made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    const at = {};
    for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
      const {name} = gl.getActiveUniform(made, i);
      at[name] = gl.getUniformLocation(made, name);
    }
    return {made, at};
  }

  // vertices: place and normal of each, Float32Array; triangles: Uint32Array.
  shape(vertices, triangles) {
    const gl = this.gl;
    if (!gl) return null;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, vertices, gl.STATIC_DRAW);
    for (const [index, offset] of [[0, 0], [1, 12]]) {
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, 3, gl.FLOAT, false, 24, offset);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    return {array, count: triangles.length};
  }

  load(packed) {
    if (!packed.byteLength) return;
    const length = new Uint32Array(packed, 0, 1)[0];
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, length)));
    let vertex = 4 + length, triangle = vertex + header.shapes.reduce((sum, shape) => sum + 24 * shape.vertices, 0);
    const shapes = header.shapes.map(shape => {
      const made = this.shape(new Float32Array(packed, vertex, 6 * shape.vertices),
                              new Uint32Array(packed, triangle, 3 * shape.triangles));
      vertex += 24 * shape.vertices;
      triangle += 12 * shape.triangles;
      return made;
    });
    this.items = header.items.map((item, row) => ({row, shape: shapes[item.shape], rgba: item.rgba, isFloor: item.is_floor}));
    this.items.sort((a, b) => b.rgba[3] - a.rgba[3]);  // what can be seen through comes last
    this.toolRow = header.tool;
    this.home = {...this.camera, ...header.view};
    this.camera = {...this.home};
    this.needed = true;
  }

  pose(row) {
    const from = POSE * row, all = this.poses;
    return {at: Array.from(all.subarray(from, from + 3)), turn: Array.from(all.subarray(from + 3, from + POSE))};
  }

  get tool() {
    return this.poses && this.toolRow !== null && this.toolRow !== undefined ? this.pose(this.toolRow) : null;
  }

  get forward() {
    const az = radians(this.camera.azimuth), el = radians(this.camera.elevation);
    return [Math.cos(el) * Math.cos(az), Math.cos(el) * Math.sin(az), Math.sin(el)];
  }

  get eye() {
    return sub(this.camera.lookat, scaled(this.forward, this.camera.distance * this.farther));
  }

  // A narrow picture shows as much of the world's width as a wide one.
  get farther() {
    return Math.max(1, 1.15 * this.canvas.clientHeight / Math.max(this.canvas.clientWidth, 1));
  }

  matrix() {
    const aspect = this.canvas.clientWidth / Math.max(this.canvas.clientHeight, 1);
    return times(perspective(radians(45), aspect, 0.02, 40), lookingFrom(this.eye, this.forward));
  }

  // Of a place, in pixels of the page from the canvas's corner; null: behind the eye.
  project(place) {
    const m = this.matrix(), v = [...place, 1];
    const [x, y, , w] = [0, 1, 2, 3].map(row => v.reduce((sum, value, k) => sum + m[4 * k + row] * value, 0));
    if (w <= 0) return null;
    return [(x / w + 1) / 2 * this.canvas.clientWidth, (1 - y / w) / 2 * this.canvas.clientHeight];
  }

  // Where a place on the screen looks: from the eye along a direction.
  ray([x, y]) {
    const tall = Math.tan(radians(22.5)), wide = tall * this.canvas.clientWidth / this.canvas.clientHeight;
    const right = unit(cross(this.forward, [0, 0, 1])), up = cross(right, this.forward);
    const across = (2 * x / this.canvas.clientWidth - 1) * wide, high = (1 - 2 * y / this.canvas.clientHeight) * tall;
    return unit(add(this.forward, add(scaled(right, across), scaled(up, high))));
  }

  orbit(dx, dy) {
    this.camera.azimuth -= 0.35 * dx;
    this.camera.elevation = clamp(this.camera.elevation - 0.35 * dy, -89, 60);
    this.needed = true;
  }

  pan(dx, dy) {
    const right = unit(cross(this.forward, [0, 0, 1])), up = cross(right, this.forward);
    const metres = 0.83 * this.camera.distance * this.farther / this.canvas.clientHeight;
    this.camera.lookat = add(this.camera.lookat, add(scaled(right, -dx * metres), scaled(up, dy * metres)));
    this.needed = true;
  }

  zoom(factor) {
    this.camera.distance = clamp(this.camera.distance * factor, 0.05, 20);
    this.needed = true;
  }

  goHome() {
    if (this.home) this.camera = {...this.home};
    this.needed = true;
  }

  // Whether the last picture is done, and as much time has passed as it took: where the CPU draws, keys and
  // buttons, and a control loop beside them, need the rest.
  isFree() {
    const gl = this.gl, now = performance.now();
    if (this.fence) {
      if (gl.getSyncParameter(this.fence, gl.SYNC_STATUS) !== gl.SIGNALED) return false;
      gl.deleteSync(this.fence);
      this.fence = null;
      this.freeFrom = 2 * now - this.begun;
    }
    return !(now < this.freeFrom);
  }

  // over: things drawn on top of everything, [{shape, model, rgba}].
  draw(over, ground, line) {
    const gl = this.gl, ratio = Math.min(devicePixelRatio, 2);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map(n => Math.round(n * ratio));
    if (!gl || !width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, {width, height});
    const reach = this.home.distance, light = times(parallel(reach, -4, 4), lookingFrom(this.home.lookat, LIGHT));
    const models = this.items.map(item => {
      const {at, turn} = this.pose(item.row);
      return placed(at, turn);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shade);
    gl.viewport(0, 0, SHADOW, SHADOW);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.dark.made);
    gl.uniformMatrix4fv(this.dark.at.eye, false, light);
    this.items.forEach((item, i) => {
      if (item.isFloor || item.rgba[3] < 0.9) return;
      gl.uniformMatrix4fv(this.dark.at.model, false, models[i]);
      this.fill(item.shape);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...ground, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const {made, at} = this.seen;
    gl.useProgram(made);
    gl.uniformMatrix4fv(at.eye, false, this.matrix());
    gl.uniformMatrix4fv(at.light, false, light);
    gl.uniform3fv(at.from, this.eye);
    gl.uniform3fv(at.sun, LIGHT);
    gl.uniform3fv(at.ground, ground);
    gl.uniform1f(at.reach, 2.6 * this.home.distance);
    gl.uniform1f(at.glow, 0);
    this.items.forEach((item, i) => {
      gl.uniformMatrix4fv(at.model, false, models[i]);
      gl.uniform4fv(at.colour, item.isFloor ? [...line, 1] : item.rgba);
      gl.uniform1f(at.isFloor, item.isFloor ? 1 : 0);
      (item.rgba[3] < 1 ? gl.enable : gl.disable).call(gl, gl.BLEND);
      this.fill(item.shape);
    });
    gl.enable(gl.BLEND);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.uniform1f(at.isFloor, 0);
    gl.uniform1f(at.glow, 0.75);
    for (const {shape, model, rgba} of over) {
      gl.uniformMatrix4fv(at.model, false, model);
      gl.uniform4fv(at.colour, rgba);
      this.fill(shape);
    }
    gl.disable(gl.BLEND);
    this.needed = false;
    this.begun = performance.now();
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }

  fill(shape) {
    this.gl.bindVertexArray(shape.array);
    this.gl.drawElements(this.gl.TRIANGLES, shape.count, this.gl.UNSIGNED_INT, 0);
  }
}
