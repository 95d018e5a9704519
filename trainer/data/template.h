// SPDX-License-Identifier: MIT
//
// template.h: how messages become text: the checkpoint's own chat template, one of ours by name, or an object of
// prefixes and suffixes.
//
// There is one way of rendering: every template is Jinja (jinja.h). The named ones and the objects are written out as
// Jinja when they are opened, so a model trained with them can be saved with that text as its chat template, and other
// programs will prompt it as it was trained.
//
// Names (bos and eos stand for the model's own begin and end tokens; what is trained is in brackets):
//   chatml       <|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]\n
//   vicuna_v1.1  FastChat's, that of the DMT paper: S USER: Q ASSISTANT:[ A</s>]USER: ... where S is the system turn,
//   or
//                Vicuna's sentence when there is none; </s> is written so for every model
//   alpaca       S\n\n### Instruction:\nQ\n\n### Response:\n[A eos]\n\n with Alpaca's sentence as the default S
//   tulu         <|user|>\nQ\n<|assistant|>\n[A eos]\n
//   zephyr       <|user|>\nQ eos\n<|assistant|>\n[A eos]\n
//   llama2       bos[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST][ A eos]
//   llama3       bos<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>...
//   mistral      bos[INST] S\n\nQ [/INST][ A eos]
//   gemma        bos<start_of_turn>user\nS\n\nQ<end_of_turn>\n<start_of_turn>model\n[A<end_of_turn>]\n
//   qa           <|question|> Q <|answer|>[ A eos]      the form of the 60-samples paper
//   none         Q[A eos]                               nothing but the contents
#ifndef PUMICE_TEMPLATE_H
#define PUMICE_TEMPLATE_H

#include "data/jinja.h"
#include "data/tokenizer.h"

struct cJSON;

struct template
{
    char *name;      // a name of the table, "checkpoint", "jinja" (given as text) or "custom" (an object)
    char *source;    // its Jinja text
    char *note;      // what the user should know about this choice, or NULL
    char *bos, *eos; // spellings of the model's tokens, NULL where it has none
    struct jinja *program;
};

// The names above, NULL ended, for errors and help.
extern const char *const template_names[];

// Opens a template for a model's tokenizer. `choice` is the config's "chat_template":
//   NULL, or the string "auto"   the checkpoint's own; without one chatml if the model has its two tokens, else tulu
//   another string               a name of the table, or Jinja text (which holds "{{" or "{%")
//   an object                    strings, each "" when absent, in which {bos} and {eos} stand for the model's tokens:
//       system_prefix, system_suffix, user_prefix, user_suffix, assistant_prefix, assistant_suffix, tool_prefix,
//       tool_suffix around the contents (a role without both keys is refused, except user and assistant);
//       start: what every text begins with; default_system: the system turn of rows without one;
//       generation_prompt: what the model is given to answer (default: assistant_prefix);
//       and system_in_user (true: the system turn stands inside the next user turn, after its prefix), trim (true:
//       contents lose the white space around them).
// 0, or -1 with the reason. A checkpoint's template that cannot be run, or does not show a plain user and assistant
// turn, is an error that says why and names the other choices.
int template_open(struct template *t, const struct cJSON *choice, const struct tokenizer *tokenizer, struct error *e);
// The same by name or Jinja text.
int template_open_name(struct template *t, const char *name, const struct tokenizer *tokenizer, struct error *e);
void template_close(struct template *t);

#endif
