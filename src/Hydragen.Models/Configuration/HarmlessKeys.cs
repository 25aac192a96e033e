using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;

namespace Hydragen.Models;

/// <summary>
/// Configuration keys that cannot change the logits, and keys that cannot at a certain value. Every other key that the reader
/// did not understand is refused, because computing something else than the model's authors is worse than not computing.
/// </summary>
internal static class HarmlessKeys
{
    /// <summary>Names, training, text generation defaults, caching and implementation choices.</summary>
    private static readonly FrozenSet<string> Ignored = new[]
    {
        "_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "auto_map", "torch_dtype", "dtype", "use_cache",
        "initializer_range", "initializer_factor", "attention_dropout", "hidden_dropout", "embd_pdrop", "resid_pdrop", "attn_pdrop",
        "dropout", "layerdrop", "classifier_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",
        "pretraining_tp", "cache_implementation", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id",
        "tokenizer_class", "prefix", "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params",
        "output_attentions", "output_hidden_states", "output_scores", "return_dict", "return_dict_in_generate", "use_return_dict",
        "torchscript", "use_bfloat16", "tf_legacy_loss", "chunk_size_feed_forward", "is_decoder", "gradient_checkpointing",
        "max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
        "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "forced_bos_token_id", "forced_eos_token_id",
        "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
        "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset",
        "_experts_implementation", "experts_implementation", "_flash_attn_2_enabled", "flash_attn", "use_flash_attn",
        "_output_attentions", "base_model_tp_plan", "base_model_pp_plan", "is_llama_config", "transformers.js_config",
        "unsloth_fixed", "unsloth_version", "max_sequence_length", "model_max_length", "seq_length", "generation_config",
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Keys that change nothing when null or at one of the given values.</summary>
    private static readonly FrozenDictionary<string, string[]> Neutral = new Dictionary<string, string[]>
    {
        ["is_encoder_decoder"] = ["false"],
        ["add_cross_attention"] = ["false"],
        ["cross_attention_hidden_size"] = [],
        ["tie_encoder_decoder"] = ["false"],
        ["pruned_heads"] = ["{}"],
        ["quantization_config"] = [],
        ["attention_bias"] = ["false"],
        ["mlp_bias"] = ["false"],
        ["lm_head_bias"] = ["false"],
        ["qkv_bias"] = [],
        ["use_sliding_window"] = ["false"],
        ["sliding_window"] = [],
        ["max_window_layers"] = [],
        ["rope_interleaved"] = ["false"],
        ["use_mrope"] = ["false"],
        ["mrope_section"] = [],
        ["full_attn_mod"] = ["1"],
        ["interpolate_factor"] = ["1"],
        ["use_bidirectional_attention"] = ["false"],
        ["use_qk_norm"] = ["false"],
        ["qk_layernorm"] = ["false"],
        ["attn_logit_softcapping"] = [],
        ["final_logit_softcapping"] = [],
        ["embedding_multiplier"] = ["1"],
        ["residual_multiplier"] = ["1"],
        ["logits_scaling"] = ["1"],
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Refuses the first key that was not read and is not harmless.</summary>
    public static void RefuseOthers(JsonFields config)
    {
        foreach (string name in config.UnreadNames())
        {
            if (Ignored.Contains(name)) continue;
            JsonElement value = config.Value.GetProperty(name);
            if (!Neutral.TryGetValue(name, out string[]? values))
                throw config.Error(name, "is not a known key; it may change what the model computes, so the model is refused");
            if (value.ValueKind != JsonValueKind.Null && !values.Contains(Normalize(value)))
                throw config.Error(name, $"is {JsonFields.Describe(value)}, which is not supported for this architecture");
        }
    }

    private static string Normalize(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number when value.TryGetDouble(out double number) => number.ToString(CultureInfo.InvariantCulture),
        JsonValueKind.Object when !value.EnumerateObject().Any() => "{}",
        _ => value.GetRawText(),
    };
}
