#include "axlstm/config/hear_schema.h"

#include <algorithm>

#include "axlstm/core/error.h"

namespace axlstm::config {

void visit(HearConfig& config, Visitor& v) {
  v.begin_section("hear", "`hear-eval --config`: embeds tasks, trains the downstream models, writes a report.");
  v.texts("models", config.models,
          "what `extract --model` takes: checkpoint or run folders, naive, random:CONFIG.yaml, module:FOLDER; `name=` "
          "before one sets "
          "the name in the report (else: the folder's)");
  v.texts("tasks", config.tasks, "a HEAR task's folder, a folder of such, or a list of both");
  v.text("output", config.output, "gets embeddings/, scores/ and report/; the same command resumes");
  v.choice("layout", config.layout, "layout of the embeddings; model: the checkpoint's embedding.layout");
  v.choice("extract_device", config.extract_device, "where embeddings are computed");
  v.choice("precision", config.precision,
           "arithmetic of embeddings; auto: fp16 on a GPU, as for the paper's, fp32 on the CPU");
  v.number("batch_seconds", config.batch_seconds, {0.1, 1e6}, "audio encoded at once");
  v.boolean("resample", config.resample, "resample audio of another rate than the model's");
  v.boolean("per_file", config.per_file, "also write each clip's own .npy, which nothing here reads");
  const std::vector<std::string> grids(hear::kGrids.begin(), hear::kGrids.end());
  int grid = static_cast<int>(std::find(grids.begin(), grids.end(), config.grid) - grids.begin());
  v.choice_index("grid", grids, grid, "hyper-parameters: the paper's two points, or one of HEAR's");
  config.grid = grids.at(static_cast<std::size_t>(grid));
  v.integer("grid_points", config.grid_points, {1, 1e6}, "number of points of the shuffled grid that are tried");
  v.integer("first_seed", config.first_seed, {0, 1e15}, "first seed (initialisation, dropout, order of the grid)");
  v.integer("seeds", config.seeds, {1, 1e6}, "number of seeds; the paper has 10");
  v.integer("jobs", config.jobs, {0, 1024}, "tasks and seeds evaluated at once; 0: one per core, 4 for each GPU");
  v.integer("threads", config.threads, {1, 1024}, "CPU threads of each job; 1 gives the official kit's digits");
  v.choice("device", config.device, "where downstream models are trained; cpu gives the official kit's digits");
  v.boolean("published", config.published, "show the rows of the paper's Table 2");
  v.boolean("mix_grids", config.mix_grids, "put scores of different grids into one table");
  v.end_section();
}

HearConfig read_hear(const Node& root, bool needs_tasks) {
  HearConfig config;
  Reader reader(root);
  visit(config, reader);
  reader.finish();
  if (config.models.empty()) throw UsageError("hear.models is empty: give at least one model");
  if (needs_tasks && config.tasks.empty()) throw UsageError("hear.tasks is empty: give HEAR task folders");
  return config;
}

std::string hear_reference() {
  HearConfig defaults;
  ReferenceWriter writer;
  visit(defaults, writer);
  return writer.markdown();
}

}  // namespace axlstm::config
