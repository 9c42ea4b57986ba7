#include "core/model/pipeline_class.h"

#include <stddef.h>
#include <string.h>

bool weft_pipeline_class_known(const char *class_name)
{
    static const char *const known[] = {
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionInpaintPipelineLegacy",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
        "LatentConsistencyModelPipeline",
        "LatentConsistencyModelImg2ImgPipeline",
        "DDPMPipeline",
        "DDIMPipeline",
        "PNDMPipeline",
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], class_name) == 0) return true;
    return false;
}

/* Classes begin with these words, and differ in what follows. */
static const struct kind {
    const char *is;
    const char *word[18];
} kinds[] = {
    {"its net is a transformer",
     {"StableDiffusion3", "Flux", "AuraFlow", "Chroma", "CogView", "DiT",
      "HiDream", "HunyuanDiT", "HunyuanImage", "Lumina", "OmniGen", "PixArt",
      "QwenImage", "Sana", "VisualCloze", "ZImage"}},
    {"it makes videos",
     {"StableVideoDiffusion", "Allegro", "AnimateDiff", "CogVideo", "Cosmos",
      "HunyuanVideo", "I2VGen", "LTX", "Latte", "Mochi", "PIA", "SkyReels",
      "TextToVideo", "VideoToVideo", "Wan"}},
    {"it makes sounds",
     {"AudioDiffusion", "AudioLDM", "DanceDiffusion", "MusicLDM",
      "SpectrogramDiffusion", "StableAudio"}},
    {"its net is shown a picture beside the noise",
     {"StableDiffusionInstructPix2Pix", "StableDiffusionXLInstructPix2Pix",
      "StableDiffusionUpscale", "StableDiffusionLatentUpscale",
      "StableDiffusionDepth2Img", "LDMSuperResolution", "Marigold",
      "PaintByExample"}},
    {"its net is told what a picture shows",
     {"StableDiffusionImageVariation", "StableUnCLIP", "UnCLIP",
      "BlipDiffusion", "Kandinsky", "StableCascade", "Wuerstchen",
      "VersatileDiffusion", "UniDiffuser"}},
    {"its net has layers beside the U-Net's",
     {"StableDiffusionAdapter", "StableDiffusionXLAdapter",
      "StableDiffusionGLIGEN", "StableDiffusionControlNetXS",
      "StableDiffusionXLControlNetXS", "StableDiffusionXLControlNetUnion"}},
    {"it draws depth beside colours", {"StableDiffusionLDM3D"}},
    {"its texts are read by another kind of encoder",
     {"AltDiffusion", "IF", "Kolors", "LDMTextToImage"}},
    {"its net is asked about noise in another way",
     {"Amused", "ConsistencyModel", "KarrasVe", "ScoreSdeVe", "ShapE",
      "VQDiffusion"}},
};

/* Whether a name begins with these words: the next one has a letter or number
 * of its own. */
static bool begins(const char *name, const char *words)
{
    const size_t n = strlen(words);

    return strncmp(name, words, n) == 0 &&
           ((name[n] >= 'A' && name[n] <= 'Z') ||
            (name[n] >= '0' && name[n] <= '9'));
}

const char *weft_pipeline_class_other(const char *class_name)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (const char *const *word = kinds[k].word; *word; word++)
            if (begins(class_name, *word)) return kinds[k].is;
    return NULL;
}
