/*
 * pipeline_class.h - what classes of pipelines draw, by their names.
 *
 * A folder may list components that weft knows and still be of a class that
 * asks them other questions: its net is shown a picture beside the noise, or
 * steps along a flow. Classes of diffusers that do are refused by name.
 */
#ifndef WEFT_CORE_MODEL_PIPELINE_CLASS_H
#define WEFT_CORE_MODEL_PIPELINE_CLASS_H

#include <stdbool.h>

/* Whether weft draws what this class draws. */
bool weft_pipeline_class_known(const char *class_name);

/* Why weft cannot: "its net is a transformer". NULL: it can, or nobody knows,
 * as of a class of somebody's own. */
const char *weft_pipeline_class_other(const char *class_name);

#endif
