# CUDA's driver comes from the host (nvidia-container-toolkit); its libraries come with torch, so the base needs none.
#   docker build -t ipai .
#   docker run --gpus all --shm-size 8g -v $PWD/data:/work/data -v $PWD/runs:/work/runs ipai train experiment=joint
#   apptainer build ipai.sif docker-daemon://ipai:latest && apptainer run --nv ipai.sif doctor
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 HF_HOME=/work/cache/huggingface IPAI_CACHE=/work/cache/ipai

RUN useradd --create-home --uid 1000 ipai && mkdir -p /work/cache && chown -R ipai /work
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
WORKDIR /work
ENTRYPOINT ["ipai"]
CMD ["--help"]
