// Files of sweeps: the folders of the runs lie in the output folder, each run has one of its own, and there are no more
// than a sweep may have.
#include <set>

#include "axlstm/sweep/plan.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::file_of("base.yaml", "model: {size: custom, dim: 16, depth: 2}\n");
  const auto path = fuzz::file_of("sweep.yaml", fuzz::text_of(data, size));
  fuzz::accepted([&] {
    const sweep::Plan plan = sweep::load_plan(path, {"sweep.base=base.yaml", "sweep.output=out", "hear.tasks=tasks"});
    std::set<std::string> folders;
    for (const sweep::Run& run : sweep::runs_of(plan)) {
      const std::string folder = run.folder.lexically_relative("out/cells").string();
      fuzz::require(fuzz::stays_inside(folder) && folder.find('/') == std::string::npos, "a run's folder");
      fuzz::require(folders.insert(folder).second, "a run has a folder of its own");
      for (const std::string& layout : sweep::layouts_of(plan, plan.cells[run.cell]))
        fuzz::require(fuzz::stays_inside(sweep::embedding_name(plan, run, layout)), "a folder of embeddings");
    }
  });
  return 0;
}
