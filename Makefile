# Every target sets up what it needs from nothing but Python and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export OMP_WAIT_POLICY := passive
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo docs test check format index peers parity conformance claims reproduce photographs settled autoencoders series adversarial styles defaults golden twins end-to-end searches nasbench201 machines bench fuzz studio look clean

help:
	@echo "make demo         train LeNet-5 on handwritten digits, about a minute"
	@echo "make test         the test suite"
	@echo "make docs         the documentation site, in build/site; open it with python -m http.server -d build/site"
	@echo "make check        ruff, mypy, import-linter"
	@echo "make format       ruff, with what it mends itself"
	@echo "make index        rewrite the torch-free index of the cards"
	@echo "make parity       our models against torchvision's, timm's, transformers', the same weights in both; writes docs/parity.md"
	@echo "make conformance  every check on every architecture, ONNX and the inductor among them"
	@echo "make claims       every claim's experiment, about 50 minutes; writes results/claims/, docs/claims.md, build/claims.html"
	@echo "make reproduce    published results on real data (LAMINA_DATA); writes results/"
	@echo "make photographs  ResNet-18 on photographs: trained, killed, resumed, exported (LAMINA_DATA); about 5 minutes"
	@echo "make fuzz         the server fuzzed by schemathesis, and its memory over 5,000 requests"
	@echo "make look         pages of the site in headless Chromium: wide and narrow, light and dark, contrast"
	@echo "make studio       the studio in headless Chromium, as a person uses it"
	@echo "make settled      every image family judged after few steps (LAMINA_DATA); about 10 minutes, resumable"
	@echo "make series       forecasters on ETTh1, remaining life, anomalies (LAMINA_DATA); SET=NAME for one; about an hour"
	@echo "make autoencoders density, anomalies, denoising, reduction, samples (LAMINA_DATA); SET=NAME for one; about an hour"
	@echo "make adversarial  adversarial networks: toy data, digits, bf16; SET=NAME for one; about an hour"
	@echo "make defaults     models that lamina train chooses, on twelve data sets (LAMINA_DATA); SET=NAME for one; hours"
	@echo "make styles       StyleGAN on digits and faces, CycleGAN on known pairs and flowers (LAMINA_DATA); SET=NAME for one; an hour"
	@echo "make searches     hyper-parameters of LeNet-5 by ASHA, with and without pruning; 10 minutes"
	@echo "make end-to-end   architectures searched 20 minutes on two cores, then trained (LAMINA_DATA); SET=NAME; hours, resumable"
	@echo "make twins        image families on 10,000 images (LAMINA_DATA), auto beside float32; SET=NAME for one; two hours"
	@echo "make golden       small trainings, to the bit as at BASE=COMMIT (default: the one before); a few minutes"
	@echo "make nasbench201  strategies of search on the table of NAS-Bench-201 (LAMINA_DATA); and the tiny space; minutes"
	@echo "make machines     two machines of network namespaces, and their link cut (Linux, root); about 3 minutes"
	@echo "make bench        benchmarks; writes benchmarks/results/"
	@echo "make clean        remove the environments and caches"

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt "torch==2.13.0"
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[dev,export,text,search,int8,serve,docs]"
	@touch $@

# The studio's library asks for a pillow below ours, which cannot read every TIFF: an environment of its own.
.studio/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .studio
	sed 's/^pillow==.*/pillow==12.3.0/' constraints.txt > .studio/constraints.txt
	.studio/bin/python -m pip install --quiet -c .studio/constraints.txt "torch==2.13.0"
	.studio/bin/python -m pip install --quiet -c .studio/constraints.txt -e ".[dev,export,text,search,serve,studio]"
	@touch $@

demo: $(VENV)/.ready
	$(VENV)/bin/lamina train lenet5 --data digits

docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

test: $(VENV)/.ready
	$(RUN) -m pytest -n logical

check: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

index: $(VENV)/.ready
	$(RUN) -c "from lamina.registry import write_index; write_index()"

# The peers: libraries we compare with, in an environment of their own. torchvision without its dependencies, since the
# build it asks for may be another one than ours; benchmarks/peers.py makes the two live together.
.peers/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --quiet -c constraints.txt "torch==2.13.0"
	.peers/bin/python -m pip install --quiet -c constraints.txt -e ".[dev,export,text,search]" "pytorch-lightning>=2.6,<2.7" huggingface_hub "transformers==5.24.0"
	.peers/bin/python -m pip install --quiet --no-deps "torchvision==0.28.0" "timm==1.0.31"
	@touch $@

peers: .peers/.ready

parity: .peers/.ready
	.peers/bin/python -m benchmarks.parity

# LAMINA_DATA names the folder with mnist/ and imagenette_224_subset/.
bench: .peers/.ready $(VENV)/.ready
	.peers/bin/python -m benchmarks.step_overhead
	.peers/bin/python -m benchmarks.image_data_path
	.peers/bin/python -m benchmarks.vision_forward
	.peers/bin/python -m benchmarks.vision_step
	.peers/bin/python -m benchmarks.vision_inference
	.peers/bin/python -m benchmarks.lm_training
	.peers/bin/python -m benchmarks.generation
	$(RUN) -m benchmarks.int8
	$(RUN) -m benchmarks.exported_generation
	$(RUN) -m benchmarks.recurrent_compile
	$(RUN) -m benchmarks.startup
	$(RUN) -m benchmarks.memory
	$(RUN) -m benchmarks.style_transfer
	$(RUN) -m benchmarks.vae_training
	$(RUN) -m benchmarks.search search_overhead
	$(RUN) -m benchmarks.forecaster_training
	$(RUN) -m benchmarks.dcgan_training
	$(RUN) -m benchmarks.serving
	.peers/bin/python -m benchmarks.train_as_it_comes
	$(RUN) -m benchmarks.stylegan_training
	$(RUN) -m benchmarks.scaling

# What fuzzes the server, in an environment of its own.
.fuzz/.ready:
	$(PYTHON) -m venv .fuzz
	.fuzz/bin/python -m pip install --quiet "schemathesis>=4"
	@touch $@

# The studio in headless Chromium (Debian's), driven by playwright-core of npm.
.studio/node_modules/playwright-core: .studio/.ready
	npm install --silent --no-save --prefix .studio playwright-core@1
	@touch $@

studio: .studio/node_modules/playwright-core
	.studio/bin/python -m benchmarks.studio

look: docs .studio/node_modules/playwright-core
	$(RUN) -m benchmarks.site

fuzz: .fuzz/.ready $(VENV)/.ready
	$(RUN) -m benchmarks.serving_endurance --schemathesis .fuzz/bin/schemathesis

# LAMINA_DATA names the folder with mnist/ and fashion_mnist/.
reproduce: $(VENV)/.ready
	$(VENV)/bin/lamina reproduce --all --render

# LAMINA_DATA names the folder with imagenette_224_subset/.
photographs: $(VENV)/.ready
	$(RUN) -m benchmarks.photographs

# LAMINA_DATA names the folder with imagenette_224_subset/.
settled: $(VENV)/.ready
	$(RUN) -m benchmarks.settled

# LAMINA_DATA names the folder with mnist/ and fashion_mnist/. What was measured before is not measured again; SET=density
# takes one of the experiments.
autoencoders: $(VENV)/.ready
	$(RUN) -m benchmarks.autoencoders $(SET)

# LAMINA_DATA names the folder with etth1/, cmapss_fd001/ and nab/; SET=etth1-dlinear takes one of the experiments.
series: $(VENV)/.ready
	$(RUN) -m benchmarks.series $(SET)

# What was measured before is not measured again; SET=toys takes one of the experiments.
adversarial: $(VENV)/.ready
	$(RUN) -m benchmarks.adversarial $(SET)

# LAMINA_DATA names the folder with orl_faces/ and unpaired_daisy2sunflower/. What was measured before is not measured
# again; SET=digits takes one of the experiments. Pictures go to docs/gallery/.
styles: $(VENV)/.ready
	$(RUN) -m benchmarks.styles $(SET)

# Hyper-parameters of LeNet-5 on digits by TPE with ASHA, with and without pruning.
searches: $(VENV)/.ready
	$(RUN) -m benchmarks.search hyperparameters

# A good model by default: `lamina train --data D` on twelve data sets. Simple models first: SET=baselines.
defaults: $(VENV)/.ready
	$(RUN) -m benchmarks.defaults $(SET)

# LAMINA_DATA names the folder with fashion_mnist/. SET=steps first, on an idle machine. What has a result of three seeds is
# not trained again.
twins: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(RUN) -m benchmarks.twins $(SET)

# LAMINA_DATA names the folder with fashion_mnist/. SET=end-to-end-digits takes one set, SET=end-to-end-digits-short a
# quarter of the time. What was measured before is not measured again.
end-to-end: $(VENV)/.ready
	$(RUN) -m benchmarks.end_to_end $(SET)

# To the bit: what the commit BASE calculates, and the working tree; CASES=image,pairs takes some of the cases.
BASE ?= HEAD~1
golden: $(VENV)/.ready
	$(RUN) -m benchmarks.golden --base $(BASE) $(if $(CASES),--cases $(CASES))

# LAMINA_DATA names the folder with nas_bench_201/. What was measured before is not measured again.
nasbench201: $(VENV)/.ready
	$(RUN) -m benchmarks.architecture_search.table choose
	$(RUN) -m benchmarks.architecture_search.table measure
	$(RUN) -m benchmarks.architecture_search.table report
	$(RUN) -m benchmarks.architecture_search.tiny_space
	$(RUN) -m benchmarks.architecture_search.tiny_space compare

# Two machines that are network namespaces: Linux, root, iproute2.
machines: $(VENV)/.ready
	$(RUN) -m benchmarks.two_machines

conformance: $(VENV)/.ready
	$(RUN) -m lamina.conformance --backend inductor --onnx --out docs/conformance.md

claims: $(VENV)/.ready
	@mkdir -p build
	$(VENV)/bin/lamina claims --all --out build/claims.html --results results/claims --table docs/claims.md
	$(VENV)/bin/python -c "from pathlib import Path; from lamina.claims.running import write_verdicts; write_verdicts(Path('results/claims'))"

clean:
	rm -rf $(VENV) .peers .studio .fuzz .schemathesis build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
