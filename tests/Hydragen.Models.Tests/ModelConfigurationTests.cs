using System.Text.Json.Nodes;
using Hydragen.Core;

namespace Hydragen.Models.Tests;

public sealed class ModelConfigurationTests
{
    private const string Base = """
        "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2
        """;

    [Fact]
    public void Old_and_new_forms_of_llama_3_mean_the_same()
    {
        ModelConfiguration old = Load($$"""
            {{{Base}}, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 500000.0, "torch_dtype": "bfloat16",
             "attention_bias": false, "attention_dropout": 0.0, "hidden_act": "silu", "initializer_range": 0.02, "mlp_bias": false,
             "max_position_embeddings": 131072, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "tie_word_embeddings": true,
             "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
             "transformers_version": "4.45.0", "use_cache": true, "bos_token_id": 100, "eos_token_id": [101, 102], "_name_or_path": "x"}
            """);
        ModelConfiguration current = Load($$"""
            {{{Base}}, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "head_dim": 8,
             "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "tie_word_embeddings": true, "pad_token_id": null,
             "rope_parameters": {"rope_theta": 500000.0, "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
             "transformers_version": "5.17.0", "bos_token_id": 100, "eos_token_id": [101, 102]}
            """);
        Assert.Equal(old.Rotary, current.Rotary);
        Assert.Equal(RotaryScaling.Llama3, current.Rotary.Scaling);
        Assert.Equal(131072, current.MaxContextLength);
        Assert.Equal([101, 102], current.EosTokenIds);
        Assert.Equal(100, old.BosTokenId);
        Assert.True(old.TieWordEmbeddings);
        Assert.Equal(new AttentionShape(8, 2, 8), old.Heads);
        Assert.Equal(old, current with { EosTokenIds = old.EosTokenIds, SlidingWindows = old.SlidingWindows });
    }

    [Fact]
    public void A_first_generation_llama_needs_few_keys()
    {
        ModelConfiguration config = Load("""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000, "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "silu", "initializer_range": 0.02, "max_sequence_length": 2048,
             "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "transformers_version": "4.28.0.dev0", "use_cache": true,
             "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1, "torch_dtype": "float16"}
            """);
        Assert.Equal(new AttentionShape(4, 4, 16), config.Heads);
        Assert.Equal(2048, config.MaxContextLength);
        Assert.Equal(10_000, config.Rotary.Theta);
        Assert.Equal(16, config.Rotary.RotaryDim);
        Assert.All(config.SlidingWindows, Assert.Null);
    }

    [Fact]
    public void Every_key_that_old_versions_dump_is_tolerated()
    {
        Load($$$"""
            {{{{Base}}}, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "_name_or_path": "", "add_cross_attention": false,
             "bad_words_ids": null, "begin_suppress_tokens": null, "chunk_size_feed_forward": 0, "cross_attention_hidden_size": null,
             "decoder_start_token_id": null, "diversity_penalty": 0.0, "do_sample": false, "early_stopping": false,
             "encoder_no_repeat_ngram_size": 0, "exponential_decay_length_penalty": null, "finetuning_task": null,
             "forced_bos_token_id": null, "forced_eos_token_id": null, "id2label": {"0": "LABEL_0"}, "is_decoder": false,
             "is_encoder_decoder": false, "label2id": {"LABEL_0": 0}, "length_penalty": 1.0, "max_length": 20, "min_length": 0,
             "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1, "output_attentions": false,
             "output_hidden_states": false, "output_scores": false, "pad_token_id": 0, "prefix": null, "problem_type": null,
             "pruned_heads": {}, "remove_invalid_values": false, "repetition_penalty": 1.0, "return_dict": true,
             "return_dict_in_generate": false, "sep_token_id": null, "suppress_tokens": null, "task_specific_params": null,
             "temperature": 1.0, "tf_legacy_loss": false, "tie_encoder_decoder": false, "tokenizer_class": null, "top_k": 50,
             "top_p": 1.0, "torchscript": false, "typical_p": 1.0, "use_bfloat16": false, "auto_map": {"AutoConfig": "evil.Config"},
             "quantization_config": null, "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"]}
            """);
    }

    [Fact]
    public void Mistral_windows_are_on_by_default_and_off_when_null()
    {
        Assert.All(Load(Row("Mistral")).SlidingWindows, window => Assert.Equal(4096, window));
        Assert.All(Load(Row("Mistral", "\"sliding_window\": null")).SlidingWindows, Assert.Null);
        Assert.All(Load(Row("Mistral", "\"sliding_window\": 100, \"head_dim\": 16")).SlidingWindows, window => Assert.Equal(100, window));
    }

    [Fact]
    public void Qwen2_has_biases_and_windows_only_above_a_layer()
    {
        ModelConfiguration config = Load(Row("Qwen2", "\"use_sliding_window\": true, \"sliding_window\": 32, \"max_window_layers\": 3"));
        Assert.Equal([null, null, null, 32], config.SlidingWindows);
        Assert.True(config.HasQueryKeyValueBias);
        Assert.False(config.HasOutputBias);
        Assert.All(Load(Row("Qwen2", "\"use_sliding_window\": false, \"sliding_window\": 32, \"max_window_layers\": 0")).SlidingWindows, Assert.Null);
        config = Load(Row("Qwen2", """
            "use_sliding_window": true, "sliding_window": 8, "max_window_layers": 0,
            "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]
            """));
        Assert.Equal([null, 8, null, null], config.SlidingWindows);
    }

    [Fact]
    public void Qwen3_normalises_queries_and_keys_of_an_explicit_size()
    {
        ModelConfiguration config = Load(Row("Qwen3", "\"head_dim\": 24, \"attention_bias\": true"));
        Assert.Equal(24, config.Heads.HeadDim);
        Assert.True(config.HasQueryKeyNorm && config.HasQueryKeyValueBias && config.HasOutputBias);
        Assert.Equal(128, Load(Row("Qwen3")).Heads.HeadDim);
    }

    [Fact]
    public void Gemma2_scales_caps_and_alternates()
    {
        ModelConfiguration config = Load(Row("Gemma2", "\"head_dim\": 16, \"query_pre_attn_scalar\": 64, \"sliding_window\": 24"));
        Assert.Equal([24, null, 24, null], config.SlidingWindows);
        Assert.Equal(8, config.EmbeddingScale);
        Assert.Equal(0.125f, config.AttentionScale);
        Assert.Equal(50, config.AttentionLogitSoftCap);
        Assert.Equal(30, config.FinalLogitSoftCap);
        Assert.Equal(ActivationKind.GeluTanh, config.Activation);
        Assert.True(config.TieWordEmbeddings && config.HasSandwichNorms && config.HasUnitOffsetNorms);
        Assert.Null(Load(Row("Gemma2", "\"attn_logit_softcapping\": null")).AttentionLogitSoftCap);
    }

    [Fact]
    public void Granite_multiplies_and_divides()
    {
        ModelConfiguration config = Load(Row("Granite", """
            "embedding_multiplier": 12.0, "attention_multiplier": 0.5, "residual_multiplier": 0.25, "logits_scaling": 4
            """));
        Assert.Equal((12f, 0.5f, 0.25f, 0.25f), (config.EmbeddingScale, config.AttentionScale, config.ResidualScale, config.LogitScale));
    }

    [Fact]
    public void Phi3_rotates_part_of_a_head()
    {
        Assert.Equal(4, Load(Row("Phi3", "\"partial_rotary_factor\": 0.5")).Rotary.RotaryDim);
        Assert.Equal(4, Load(Row("Phi3", "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0, \"partial_rotary_factor\": 0.5}")).Rotary.RotaryDim);
        ModelConfiguration config = Load(Row("Phi3", "\"original_max_position_embeddings\": 4096, \"rope_scaling\": null, \"resid_pdrop\": 0.0, \"embd_pdrop\": 0.0"));
        Assert.True(config.HasFusedProjections);
        Assert.Equal(1e-5f, config.NormEpsilon);
    }

    [Theory]
    [InlineData("\"rope_type\": \"linear\", \"factor\": 4.0", 1024)]
    [InlineData("\"type\": \"dynamic\", \"factor\": 2.0", 512)]
    [InlineData("\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 64", 256)]
    [InlineData("\"rope_type\": \"yarn\", \"factor\": 4.0", 1024)]
    [InlineData("\"rope_type\": \"llama3\", \"factor\": 4.0, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 64", 256)]
    [InlineData("\"rope_type\": \"default\"", 256)]
    public void Scaling_stretches_the_context(string scaling, int expected) =>
        Assert.Equal(expected, Load(Row("Llama", $$"""  "max_position_embeddings": 256, "rope_scaling": { {{scaling}} }  """)).MaxContextLength);

    [Fact]
    public void Generation_settings_take_precedence_for_end_and_start_tokens()
    {
        using var folder = new TemporaryFolder();
        JsonObject json = TinyLlama.Config();
        File.WriteAllText(folder.File("config.json"), json.ToJsonString());
        Assert.Equal([2], ModelConfiguration.Load(folder.Path).EosTokenIds);
        File.WriteAllText(folder.File("generation_config.json"), """{"eos_token_id": [5, 6], "temperature": 0.6, "_from_model_config": true}""");
        ModelConfiguration config = ModelConfiguration.Load(folder.Path);
        Assert.Equal([5, 6], config.EosTokenIds);
        Assert.Equal(1, config.BosTokenId);
        File.WriteAllText(folder.File("generation_config.json"), """{"eos_token_id": "x"}""");
        Assert.Throws<ModelFormatException>(() => ModelConfiguration.Load(folder.Path));
    }

    [Theory]
    [InlineData("architectures", "[\"BertModel\"]")]
    [InlineData("architectures", "[\"LlamaForCausalLM\",\"MistralForCausalLM\"]")]
    [InlineData("architectures", "\"LlamaForCausalLM\"")]
    [InlineData("architectures", "[1]")]
    [InlineData("model_type", "\"mistral\"")]
    [InlineData("num_attention_heads", "0")]
    [InlineData("num_attention_heads", "-2")]
    [InlineData("num_attention_heads", "3")]
    [InlineData("num_attention_heads", "\"2\"")]
    [InlineData("num_attention_heads", "2.0")]
    [InlineData("num_attention_heads", "[2]")]
    [InlineData("num_key_value_heads", "0")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("head_dim", "0")]
    [InlineData("head_dim", "12")]
    [InlineData("head_dim", "264")]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "17")]
    [InlineData("hidden_size", "2147483647")]
    [InlineData("hidden_size", "null")]
    [InlineData("intermediate_size", "0")]
    [InlineData("intermediate_size", "1e3")]
    [InlineData("num_hidden_layers", "0")]
    [InlineData("num_hidden_layers", "1000000000")]
    [InlineData("vocab_size", "0")]
    [InlineData("vocab_size", "4294967296")]
    [InlineData("rope_theta", "-1")]
    [InlineData("rope_theta", "0")]
    [InlineData("rope_theta", "1e999")]
    [InlineData("rope_theta", "\"NaN\"")]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"factor\":0}")]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"factor\":\"NaN\"}")]
    [InlineData("rope_scaling", "{\"type\":\"linear\"}")]
    [InlineData("rope_scaling", "{\"type\":\"spiral\",\"factor\":2}")]
    [InlineData("rope_scaling", "{\"type\":\"longrope\",\"long_factor\":[1],\"short_factor\":[1]}")]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"rope_type\":\"dynamic\",\"factor\":2}")]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"factor\":2,\"surprise\":1}")]
    [InlineData("rope_scaling", "{\"type\":\"default\",\"mrope_section\":[1,2]}")]
    [InlineData("rope_scaling", "{\"type\":\"dynamic\",\"factor\":2,\"original_max_position_embeddings\":17}")]
    [InlineData("rope_scaling", "{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":1,\"original_max_position_embeddings\":64}")]
    [InlineData("rope_scaling", "{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}")]
    [InlineData("rope_scaling", "[]")]
    [InlineData("rope_parameters", "{\"rope_theta\":20000.0}")]
    [InlineData("rope_parameters", "{\"full_attention\":{\"rope_theta\":20000.0}}")]
    [InlineData("partial_rotary_factor", "0.5")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("rms_norm_eps", "-1e-5")]
    [InlineData("rms_norm_eps", "1e-60")]
    [InlineData("rms_norm_eps", "\"1e-5\"")]
    [InlineData("max_position_embeddings", "0")]
    [InlineData("max_position_embeddings", "2147483648")]
    [InlineData("tie_word_embeddings", "\"false\"")]
    [InlineData("tie_word_embeddings", "0")]
    [InlineData("hidden_act", "\"relu\"")]
    [InlineData("hidden_act", "\"gelu_fast\"")]
    [InlineData("eos_token_id", "-2")]
    [InlineData("eos_token_id", "\"</s>\"")]
    [InlineData("quantization_config", "{\"quant_method\":\"gptq\"}")]
    [InlineData("layer_types", "[\"full_attention\"]")]
    [InlineData("layer_types", "[\"full_attention\",\"sliding_attention\"]")]
    [InlineData("layer_types", "[\"full_attention\",\"linear_attention\"]")]
    [InlineData("sliding_window", "64")]
    [InlineData("final_logit_softcapping", "30.0")]
    [InlineData("embedding_multiplier", "2.0")]
    [InlineData("is_encoder_decoder", "true")]
    [InlineData("rope_interleaved", "true")]
    [InlineData("num_experts", "8")]
    [InlineData("surprise", "null")]
    [InlineData("\\ud800", "1")]
    public void Impossible_unsupported_and_unknown_values_are_refused_by_name(string name, string value)
    {
        using var folder = new TemporaryFolder();
        JsonObject json = TinyLlama.Config();
        json.Remove(name);
        string text = json.ToJsonString();
        File.WriteAllText(folder.File("config.json"), $"{text[..^1]},\"{name}\":{value}}}");
        var e = Assert.Throws<ModelFormatException>(() => ModelConfiguration.Load(folder.Path));
        string[] related = name switch
        {
            "hidden_size" or "num_attention_heads" => ["hidden_size", "num_attention_heads", "head_dim", "num_key_value_heads"],
            "rope_scaling" => ["factor", "rope_type", "type", "rope_scaling"],
            "rope_parameters" => ["rope_theta", "rope_parameters"],
            "\\ud800" => ["Unicode"],
            _ => [name],
        };
        Assert.Contains(related, key => e.Message.Contains(key, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("Mistral", "\"sliding_window\": 0")]
    [InlineData("Gemma2", "\"sliding_window\": null")]
    [InlineData("Gemma2", "\"attn_logit_softcapping\": 0")]
    [InlineData("Gemma2", "\"query_pre_attn_scalar\": -1")]
    [InlineData("Gemma2", "\"use_bidirectional_attention\": true")]
    [InlineData("Gemma2", "\"sliding_window\": 8, \"sliding_window_size\": 9")]
    [InlineData("Granite", "\"logits_scaling\": 0")]
    [InlineData("Qwen2", "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"full_attention\", \"full_attention\"]")]
    [InlineData("Qwen2", "\"use_mrope\": true")]
    [InlineData("Phi3", "\"partial_rotary_factor\": 0.4")]
    [InlineData("Phi3", "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}")]
    [InlineData("Phi3", "\"attention_bias\": true")]
    public void Values_that_an_architecture_cannot_use_are_refused(string architecture, string field) =>
        Assert.Throws<ModelFormatException>(() => Load(Row(architecture, field)));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{\"hidden_size\":1,\"hidden_size\":2}")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"model_type\":\"\\ud800\"}")]
    [InlineData("{} {}")]
    public void Files_that_are_no_configuration_are_refused(string text) => Assert.Throws<ModelFormatException>(() => Load(text));

    [Theory]
    [InlineData("llama/config.yarn-options.json")]
    [InlineData("gemma2/config.json")]
    public void A_configuration_cut_or_with_a_flipped_bit_loads_or_gives_the_typed_exception(string name)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("config.json");
        byte[] whole = File.ReadAllBytes(Path.Combine(GoldenModel.Root, name));
        for (int length = 0; length < whole.Length - 2; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            Assert.Throws<ModelFormatException>(() => ModelConfiguration.Load(folder.Path));
        }
        int numRefused = 0;
        for (int bit = 0; bit < whole.Length * 8; bit++)
        {
            whole[bit / 8] ^= (byte)(1 << (bit % 8));
            File.WriteAllBytes(path, whole);
            whole[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                new ScaledRotaryEmbedding(ModelConfiguration.Load(folder.Path).Rotary).GetFactors(1, new float[128], new float[128]);
            }
            catch (ModelFormatException)
            {
                numRefused++;
            }
        }
        Assert.InRange(numRefused, whole.Length * 4, whole.Length * 8 - 1);
    }

    [Fact]
    public void Nested_and_oversized_files_are_refused()
    {
        Assert.Throws<ModelFormatException>(() => Load(string.Concat(Enumerable.Repeat("{\"a\":", 100_000))));
        Assert.Throws<ModelFormatException>(() => Load("{" + new string(' ', 2_000_000) + "}"));
        using var hostile = new TemporaryFolder();
        File.WriteAllText(hostile.File("config.json"), "{\"a\":[" + string.Concat(Enumerable.Repeat("[],", 349_000)) + "0]}");
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<ModelFormatException>(() => ModelConfiguration.Load(hostile.Path));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 20);
        using var folder = new TemporaryFolder();
        Assert.Throws<FileNotFoundException>(() => ModelConfiguration.Load(folder.Path));
        Assert.Throws<DirectoryNotFoundException>(() => ModelConfiguration.Load(folder.File("none")));
    }

    private static string Row(string architecture, string fields = "") =>
        $$"""{"architectures": ["{{architecture}}ForCausalLM"], {{Base}}{{(fields.Length == 0 ? "" : ", ")}}{{fields}}}""";

    private static ModelConfiguration Load(string json)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), json);
        return ModelConfiguration.Load(folder.Path);
    }
}
