#include "axlstm/train/options.h"

namespace axlstm::train {

void visit(OptimOptions& optim, Visitor& v) {
  v.begin_section("optim", "AdamW, linear warm-up from 0, then half a cosine to 0, per step.");
  v.number("base_lr", optim.base_lr, {0, 10},
           "peak learning rate per 256 clips of batch: lr = base_lr · global_batch / 256");
  v.integer("global_batch", optim.global_batch, kPositive, "clips per update");
  v.number("epochs", optim.epochs, {1e-6, 1e9}, "length of the schedule");
  v.number("warmup_epochs", optim.warmup_epochs, {0, 1e9},
           "first part of the schedule, in which the learning rate rises to its peak");
  v.number("weight_decay", optim.weight_decay, kFraction, "weight decay of the parameters that optim.decay names");
  v.choice(
      "decay", optim.decay,
      "parameters that decay: matrices leaves out biases and one-dimensional ones; all is what MW-MAE's code does");
  v.boolean(
      "decay_A_log", optim.decay_A_log,
      "ssam only: decay A_log as well. true as in the released code, whose optimiser overlooks the mark that Mamba "
      "sets against it: without an opposing gradient all time constants of a full run shrink together");
  v.number("layer_decay", optim.layer_decay, {1e-6, 1},
           "the learning rate of a block is that of the block behind it times this; the head has lr, the patch "
           "embedding the smallest. 1: all the same");
  v.number("beta1", optim.beta1, {0, 0.999999}, "decay of the first moment");
  v.number("beta2", optim.beta2, {0, 0.999999}, "decay of the second moment");
  v.number("eps", optim.eps, {0, 1}, "added to the root of the second moment");
  v.number("clip_grad_norm", optim.clip_grad_norm, {0, 1e9}, "largest gradient norm; 0: no clipping, as in the paper");
  v.end_section();
}

void visit(TrainOptions& train, Visitor& v) {
  v.begin_section("train", "The run.");
  v.text("run_dir", train.run_dir,
         "folder of checkpoints, metrics and pictures; the same command resumes what is in it", Effect::kNone);
  v.choice("device", train.device, "auto: the GPU if there is one", Effect::kNone);
  v.choice("precision", train.precision,
           "arithmetic of matrix products in training (weights and optimiser are float32): auto is bf16 on a GPU, fp32 "
           "on the CPU; fp16 scales the loss; tf32 is fp32 with rounded inputs, GPU only");
  v.boolean("deterministic", train.deterministic,
            "on a GPU, use operators with bit-equal results from run to run where LibTorch has them (it warns where "
            "not); slower. The CPU always gives bit-equal results");
  v.integer("seed", train.seed, kNotNegative, "seed of initialisation, order, crops and masks");
  v.integer("threads", train.threads, {0, 1024},
            "CPU threads of an operator; 0: one per core that may be used. Bit-equal resume needs the same number",
            Effect::kNone);
  v.integer("device_batch", train.device_batch, kNotNegative,
            "clips of a micro-batch; gradients are accumulated up to global_batch; 0: all at once", Effect::kNone);
  v.choice(
      "cuda_graph", train.cuda_graph,
      "record a step's forward and backward pass as a CUDA graph, which spares the host's work for each kernel; auto: "
      "on one GPU if steps take at most a third of its memory. Changes no number",
      Effect::kNone);
  v.integer("max_steps", train.max_steps, kNotNegative, "stop here without changing the schedule; 0: at its end",
            Effect::kNone);
  v.integer("max_skipped_steps", train.max_skipped_steps, kPositive,
            "a step whose loss or gradient is not finite is skipped; this many in a row end the run", Effect::kNone);
  v.integer("log_every_steps", train.log_every_steps, kPositive,
            "steps between progress lines (if stderr is no terminal) and between TensorBoard's records, over which "
            "clips/s, MFU and data wait are averaged",
            Effect::kNone);
  v.integer("save_every_steps", train.save_every_steps, kPositive, "checkpoints", Effect::kNone);
  v.integer("validate_every_steps", train.validate_every_steps, kPositive,
            "loss on data.validation; a classifier: eval.every_epochs", Effect::kNone);
  v.integer("keep_last", train.keep_last, kPositive, "newest checkpoints kept", Effect::kNone);
  v.integer("keep_every_steps", train.keep_every_steps, kNotNegative,
            "checkpoints at multiples of this step are never deleted; 0: none. Must be a multiple of save_every_steps",
            Effect::kNone);
  v.number("ema_decay", train.ema_decay, {0, 0.999999999},
           "exponential moving average of the weights, kept as ema.safetensors beside the others; 0: none");
  v.integer("picture_every_steps", train.picture_every_steps, kPositive, "reconstruction pictures", Effect::kNone);
  v.end_section();
}

void visit(EvalOptions& eval, Visitor& v) {
  v.begin_section("eval", "Scores while a model is trained. Only eval.patience changes the training.");
  v.text("probe", eval.probe,
         "folder of a HEAR task of whole clips: its validation clips are classified by their nearest training clips; "
         "empty: none",
         Effect::kNone);
  v.integer("probe_every_epochs", eval.probe_every_epochs, kPositive, "and at the end", Effect::kNone);
  v.integer("probe_clips", eval.probe_clips, kPositive, "at most so many training and so many validation clips",
            Effect::kNone);
  v.integer("every_epochs", eval.every_epochs, kPositive,
            "of a classifier: scores on all of data.validation, and at the end");
  v.choice(
      "metric", eval.metric,
      "what chooses the best checkpoint: auto is accuracy of multiclass targets and mAP of multilabel ones; loss is "
      "the smallest");
  v.integer("patience", eval.patience, kNotNegative,
            "training ends after this many evaluations without a better eval.metric; 0: at the end of the schedule");
  v.integer("resamples", eval.resamples, {0, 1e6},
            "bootstrap samples of the clips for the 95 % intervals of the scores; 0: no intervals", Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::train
