using System.Text.Json.Nodes;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>
/// The golden models would notice if an option were ignored or off by one: changing it changes logits by far more than the
/// tolerance.
/// </summary>
public sealed class GoldenSensitivityTests
{
    [Theory]
    [InlineData("llama", "rms_norm_eps", "0.01")]
    [InlineData("llama", "hidden_act", "\"gelu\"")]
    [InlineData("llama", "rope_parameters", "{\"rope_theta\":20000.0}")]
    [InlineData("llama/linear", "rope_parameters", "{\"rope_theta\":10000.0}")]
    [InlineData("llama/dynamic.incremental", "rope_parameters", "{\"rope_theta\":10000.0}")]
    [InlineData("llama/dynamic.incremental", "max_position_embeddings", "31")]
    [InlineData("llama/llama3", "rope_parameters.low_freq_factor", "2.0")]
    [InlineData("llama/llama3", "rope_parameters.high_freq_factor", "3.0")]
    [InlineData("llama/llama3", "rope_parameters.original_max_position_embeddings", "33")]
    [InlineData("llama/yarn", "rope_parameters.factor", "3.0")]
    [InlineData("llama/yarn", "rope_parameters.attention_factor", "1.0")]
    [InlineData("llama/yarn-options", "rope_parameters.truncate", "true")]
    [InlineData("llama/yarn-options", "rope_parameters.beta_fast", "32.0")]
    [InlineData("llama/yarn-options", "rope_parameters.beta_slow", "1.0")]
    [InlineData("llama/yarn-options", "rope_parameters.mscale_all_dim", "0")]
    [InlineData("llama-bias-tied", "hidden_act", "\"gelu_pytorch_tanh\"")]
    [InlineData("mistral", "sliding_window", "13")]
    [InlineData("mistral", "sliding_window", "11")]
    [InlineData("qwen2-window", "sliding_window", "13")]
    [InlineData("phi3", "sliding_window", "21")]
    [InlineData("phi3", "rope_parameters.partial_rotary_factor", "0.25")]
    [InlineData("gemma2", "sliding_window", "17")]
    [InlineData("gemma2", "layer_types", "[\"full_attention\",\"sliding_attention\",\"sliding_attention\"]")]
    [InlineData("gemma2", "attn_logit_softcapping", "null")]
    [InlineData("gemma2", "final_logit_softcapping", "null")]
    [InlineData("gemma2", "query_pre_attn_scalar", "24")]
    [InlineData("gemma2", "hidden_activation", "\"gelu\"")]
    [InlineData("granite", "embedding_multiplier", "5.0")]
    [InlineData("granite", "attention_multiplier", "0.25")]
    [InlineData("granite", "residual_multiplier", "0.25")]
    [InlineData("granite", "logits_scaling", "0.6")]
    public void A_changed_option_changes_the_logits(string name, string key, string value)
    {
        using var golden = new GoldenModel(name);
        string path = Path.Combine(golden.Folder, "config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        string[] keys = key.Split('.');
        JsonObject owner = keys.Length == 1 ? config : config[keys[0]]!.AsObject();
        owner[keys[^1]] = JsonNode.Parse(value);
        File.WriteAllText(path, config.ToJsonString());

        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        using DecoderModel model = DecoderModel.Load(golden.Folder, backend, ct: TestContext.Current.CancellationToken);
        float worst = 0;
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            float[] expected = golden.Logits(s), actual = GoldenModel.Run(model, ids, ids.Length);
            for (int i = 0; i < expected.Length; i++) worst = Math.Max(worst, Math.Abs(expected[i] - actual[i]));
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"changed by {worst:g3}");
        Assert.True(worst > 2 * Tolerance.GoldenLogit, $"logits changed by {worst:g3} only");
    }
}
