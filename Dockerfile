# CUDA's driver comes from the host (nvidia-container-toolkit); its libraries come with torch, so the base needs none.
#   docker build -t ipai .
#   docker run --gpus all --shm-size 8g -v ./data:/ipai/data -v ./runs:/ipai/runs ipai train experiment=joint
#   apptainer build ipai.sif docker-daemon://ipai:latest && apptainer run --nv ipai.sif doctor
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

# Runs, data and caches lie in the home folder.
RUN useradd --create-home --home-dir /ipai --uid 1000 ipai
WORKDIR /src

# The lock first, so that a change of the code does not install torch again.
COPY requirements.lock ./
RUN pip install --requirement requirements.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY conf conf
COPY ipai ipai
COPY data_builders data_builders
RUN pip install --no-deps .

USER 1000
WORKDIR /ipai
ENTRYPOINT ["ipai"]
CMD ["--help"]
