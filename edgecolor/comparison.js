
for (const slider of document.querySelectorAll(".pair input")) {
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", slider.value + "%"));
}
const beside = document.getElementById("beside");
beside.addEventListener("change", () => document.body.classList.toggle("beside", beside.checked));
