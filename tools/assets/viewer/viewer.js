// The page that shows one person's reconstruction; tools/assets/build_viewer.py bundles it.
// Space and colour are those of docs/conventions.md: what is drawn is the camera space of the crop,
// moved along z so that the origin lies in the head, in metres as in the glTF file.
import { PerspectiveCamera, Quaternion, Scene, ShaderMaterial, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

const METRES_PER_MM = 1e-3;
const TURN = Math.PI / 36; // of an arrow key
const MODES = { shaded: 0, albedo: 1, geometry: 2, wireframe: 3 };
const REGIONS = [
  ["Brows", /^brow/i],
  ["Eyes", /^eye/i],
  ["Cheeks and nose", /^(cheek|nose)/i],
  ["Jaw and tongue", /^(jaw|tongue)/i],
  ["Mouth", /^mouth/i],
  ["Others", /^/],
];

// Light and clay are those of fml_tf/rendering: nine harmonics of the normal in camera space times
// the albedo, both sRGB as the model has them.
const VERTEX_SHADER = `
#include <common>
#include <morphtarget_pars_vertex>
varying vec3 vNormal, vAlbedo;
void main() {
  #include <beginnormal_vertex>
  #include <morphinstance_vertex>
  #include <morphnormal_vertex>
  #include <begin_vertex>
  #include <morphtarget_vertex>
  #include <project_vertex>
  vNormal = normalMatrix * objectNormal;
  vAlbedo = mix(1.055 * pow(color, vec3(1.0 / 2.4)) - 0.055, 12.92 * color,
                lessThanEqual(color, vec3(0.0031308)));
}`;
const FRAGMENT_SHADER = `
uniform int mode;
uniform bool lines;
uniform vec3 light[9];
varying vec3 vNormal, vAlbedo;
void main() {
  vec3 n = normalize(vNormal);
  vec3 shading = 0.282095 * light[0] + 0.488603 * (n.y * light[1] + n.z * light[2] + n.x * light[3])
    + 1.092548 * (n.x * n.y * light[4] + n.y * n.z * light[5] + n.x * n.z * light[7])
    + 0.315392 * (3.0 * n.z * n.z - 1.0) * light[6] + 0.546274 * (n.x * n.x - n.y * n.y) * light[8];
  float lamp = max(dot(n, normalize(vec3(0.25, 0.35, 0.9))), 0.0);
  vec3 clay = vec3(0.85 * (0.25 + 0.75 * lamp));
  vec3 colour = mode == 0 ? vAlbedo * shading : mode == 1 ? vAlbedo : clay;
  gl_FragColor = vec4(lines ? vec3(0.1, 0.2, 0.45) : clamp(colour, 0.0, 1.0), 1.0);
}`;

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);

function tell(problem) {
  element("problem").textContent = problem;
  element("problem").hidden = false;
}

async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

class Stage {
  constructor(canvas, surface) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, alpha: true, antialias: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    const light = Array.from({ length: 9 }, () => new Vector3());
    this.uniforms = { mode: { value: 0 }, light: { value: light } };
    this.surface = surface;
    this.surface.material = this.material(false);
    this.edges = surface.clone();
    this.edges.material = this.material(true);
    this.edges.morphTargetInfluences = surface.morphTargetInfluences;
    this.scene = new Scene();
    this.scene.add(this.surface, this.edges);

    const translations = data.frames.map((frame) => new Vector3(...frame.translation));
    this.centre = new Vector3();
    translations.forEach((translation) => this.centre.addScaledVector(translation, 1 / translations.length));
    this.distance = -this.centre.z * METRES_PER_MM;
    this.camera = new PerspectiveCamera(1, 1, this.distance / 20, this.distance * 4);
    this.camera.position.z = this.distance;
    this.controls = new OrbitControls(this.camera, canvas);
    Object.assign(this.controls, {
      enablePan: false,
      minDistance: this.distance / 4,
      maxDistance: this.distance * 2,
      minPolarAngle: 0.2,
      maxPolarAngle: Math.PI - 0.2,
    });
    this.controls.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  material(lines) {
    return new ShaderMaterial({
      vertexShader: VERTEX_SHADER,
      fragmentShader: FRAGMENT_SHADER,
      uniforms: { ...this.uniforms, lines: { value: lines } },
      vertexColors: true,
      wireframe: lines,
      polygonOffset: !lines, // so that lines are not half hidden by their own triangles
      polygonOffsetFactor: 1,
      polygonOffsetUnits: 1,
    });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    // The crop fits into the canvas, whichever side is the longer one.
    const half = 0.5 / data.focalLength / Math.min(1, width / height);
    this.camera.fov = (360 / Math.PI) * Math.atan(half);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.edges.visible = this.uniforms.mode.value === MODES.wireframe;
      this.renderer.render(this.scene, this.camera);
    });
  }

  place(frame, posed) {
    const rotation = new Vector3(...(posed ? frame.rotation : [0, 0, 0]));
    const translation = posed ? new Vector3(...frame.translation) : this.centre;
    for (const mesh of [this.surface, this.edges]) {
      mesh.quaternion.setFromAxisAngle(rotation.clone().normalize(), rotation.length());
      mesh.position.copy(translation).multiplyScalar(METRES_PER_MM);
      mesh.position.z += this.distance;
    }
    frame.illumination.forEach((band, index) => this.uniforms.light.value[index].set(...band));
    this.draw();
  }

  direction() {
    const degrees = (angle) => Math.round((angle * 180) / Math.PI);
    const across = degrees(this.controls.getAzimuthalAngle());
    const up = 90 - degrees(this.controls.getPolarAngle());
    const parts = [];
    if (across) parts.push(`${Math.abs(across)}° to the ${across > 0 ? "right" : "left"} of the camera`);
    if (up) parts.push(`${Math.abs(up)}° ${up > 0 ? "above" : "below"} it`);
    return `Seen from ${parts.join(", ") || "the camera"}.`;
  }
}

class Blendshapes {
  constructor(stage, container) {
    this.stage = stage;
    this.sliders = [];
    const names = Object.entries(stage.surface.morphTargetDictionary ?? {});
    const groups = REGIONS.map(([title]) => ({ title, rows: [] }));
    for (const [name, index] of names) {
      groups[REGIONS.findIndex(([, pattern]) => pattern.test(name))].rows.push(this.slider(name, index));
    }
    for (const { title, rows } of groups.filter((group) => group.rows.length)) {
      const details = document.createElement("details");
      details.open = title === "Mouth" || title === "Jaw and tongue";
      const summary = document.createElement("summary");
      summary.textContent = title;
      details.append(summary, ...rows);
      container.append(details);
    }
    element("blendshapes").hidden = !names.length;
  }

  slider(name, index) {
    const row = document.createElement("label");
    row.className = "slider";
    const text = document.createElement("span");
    const words = name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
    text.textContent = words[0].toUpperCase() + words.slice(1);
    const input = document.createElement("input");
    const values = data.frames.map((frame) => frame.activations[index]);
    input.type = "range";
    input.name = name;
    input.step = 0.01;
    input.min = Math.floor(20 * Math.min(0, ...values)) / 20;
    input.max = Math.ceil(20 * Math.max(1, ...values)) / 20;
    const output = document.createElement("output");
    input.addEventListener("input", () => this.set(index, Number(input.value)));
    row.append(text, input, output);
    this.sliders[index] = { input, output };
    return row;
  }

  set(index, value) {
    const { input, output } = this.sliders[index];
    this.stage.surface.morphTargetInfluences[index] = value;
    input.value = value;
    output.textContent = Number(input.value).toFixed(2);
    this.stage.draw();
  }

  setAll(values) {
    this.sliders.forEach((_, index) => this.set(index, values ? values[index] : 0));
  }
}

function connect(stage, blendshapes) {
  const { frames } = data;
  let current = 0;
  const posed = element("posed");
  const place = () => stage.place(frames[current], posed.checked);
  const show = (number) => {
    current = Math.min(Math.max(number, 0), frames.length - 1);
    const { name, picture, activations } = frames[current];
    element("frame").value = current;
    element("picture").src = picture;
    element("picture").alt = `Picture ${name}`;
    element("frame-name").textContent =
      frames.length > 1 ? `${name} (${current + 1} of ${frames.length})` : name;
    element("frame").setAttribute("aria-valuetext", `${current + 1} of ${frames.length}: ${name}`);
    blendshapes.setAll(activations);
    place();
  };
  const describe = () => (element("view").textContent = stage.direction());
  const reset = () => {
    stage.controls.reset();
    describe();
  };
  document.body.classList.toggle("single", frames.length === 1);
  element("frame").max = frames.length - 1;
  element("frame").addEventListener("input", (event) => show(Number(event.target.value)));
  element("previous").addEventListener("click", () => show(current - 1));
  element("next").addEventListener("click", () => show(current + 1));
  element("reset").addEventListener("click", reset);
  element("neutral").addEventListener("click", () => blendshapes.setAll(null));
  element("as-in-picture").addEventListener("click", () => blendshapes.setAll(frames[current].activations));
  posed.addEventListener("change", place);
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    radio.addEventListener("change", () => {
      stage.uniforms.mode.value = MODES[radio.value];
      stage.draw();
    });
  }
  const { controls } = stage;
  const keys = {
    ArrowLeft: () => controls.rotateLeft(TURN),
    ArrowRight: () => controls.rotateLeft(-TURN),
    ArrowUp: () => controls.rotateUp(TURN),
    ArrowDown: () => controls.rotateUp(-TURN),
    "+": () => controls.dollyIn(0.9),
    "=": () => controls.dollyIn(0.9),
    "-": () => controls.dollyOut(0.9),
    0: reset,
    PageUp: () => show(current - 1),
    PageDown: () => show(current + 1),
  };
  stage.canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
    describe();
  });
  controls.addEventListener("end", describe);
  show(0);
  describe();
}

async function start() {
  let glb;
  try {
    glb = await unpack(data.glb);
  } catch {
    return tell("This browser is too old for the page: it cannot unpack the face.");
  }
  element("download").href = URL.createObjectURL(new Blob([glb], { type: "model/gltf-binary" }));
  const gltf = await new GLTFLoader().parseAsync(glb, "");
  let stage;
  try {
    stage = new Stage(element("head"), gltf.scene.getObjectByProperty("isMesh", true));
  } catch (error) {
    console.warn(error);
    return tell("This browser cannot draw in 3D (WebGL 2 is missing or switched off); the glTF file can be downloaded.");
  }
  connect(stage, new Blendshapes(stage, element("regions")));
  document.body.dataset.ready = "true";
}

start();
