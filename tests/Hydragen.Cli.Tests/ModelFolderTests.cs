using System.Text;

namespace Hydragen.Cli.Tests;

public sealed class ModelFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> BrokenSettings => new()
    {
        { "\"LlamaForCausalLM\"", "\"MambaForCausalLM\"" },
        { "\"num_attention_heads\": 8", "\"num_attention_heads\": 0" },
        { "\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3" },
        { "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 1000000000" },
        { "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7" },
        { "\"hidden_size\": 256", "\"hidden_size\": \"256\"" },
        { "\"hidden_size\": 256", "\"hidden_size\": -256" },
        { "\"vocab_size\": 1571", "\"vocab_size\": 99999999" },
        { "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 0" },
        { "\"rope_theta\": 10000000.0", "\"rope_theta\": -1" },
        { "\"max_position_embeddings\": 16384", "\"max_position_embeddings\": 0" },
        { "\"hidden_act\": \"silu\"", "\"hidden_act\": \"tanhexp\"" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(BrokenSettings))]
    public async Task A_configuration_that_cannot_be_is_refused(string right, string wrong)
    {
        string config = await File.ReadAllTextAsync(Path.Combine(Cli.EmbeddedModel, "config.json"), TestContext.Current.CancellationToken);
        Assert.Contains(right, config, StringComparison.Ordinal);
        (await RunAsync(("config.json", Encoding.UTF8.GetBytes(config.Replace(right, wrong, StringComparison.Ordinal))))).AssertBadInput();
    }

    [Theory]
    [InlineData("config.json", "")]
    [InlineData("config.json", "[]")]
    [InlineData("config.json", "{}")]
    [InlineData("config.json", "{\"a\":{")]
    [InlineData("tokenizer.json", "")]
    [InlineData("tokenizer.json", "{\"model\":5}")]
    [InlineData("model.safetensors", "")]
    [InlineData("model.safetensors", "1234567")]
    public async Task A_malformed_file_is_refused_by_name(string name, string content) =>
        (await RunAsync((name, Encoding.UTF8.GetBytes(content)))).AssertBadInput(name);

    [Theory]
    [InlineData("config.json")]
    [InlineData("model.safetensors")]
    public async Task A_missing_file_is_refused_by_name(string name) => (await RunAsync((name, null))).AssertBadInput(name);

    [Fact]
    public async Task A_missing_folder_and_a_file_in_its_place_are_refused()
    {
        (await Cli.RunAsync("generate", "--model", _folder["none"], "--prompt", "a")).AssertBadInput("There is no model folder");
        (await Cli.RunAsync("generate", "--model", _folder.Write("file", "x"), "--prompt", "a")).AssertBadInput("is a file");
        (await Cli.RunAsync("generate", "--model", "", "--prompt", "a")).AssertBadInput("model");
        (await Cli.RunAsync("generate", "--model", _folder.Path, "--prompt", "a")).AssertBadInput("config.json");
    }

    [Fact]
    public async Task A_truncated_or_prolonged_weight_file_is_refused()
    {
        byte[] weights = await File.ReadAllBytesAsync(Path.Combine(Cli.EmbeddedModel, "model.safetensors"), TestContext.Current.CancellationToken);
        foreach (int cut in (int[])[1, 2, 1000, weights.Length / 2, weights.Length - 100, weights.Length - 8])
            (await RunAsync(("model.safetensors", weights[..^cut]))).AssertBadInput("model.safetensors");
        (await RunAsync(("model.safetensors", [.. weights, 0]))).AssertBadInput("model.safetensors");
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12)]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}""", 8)]
    [InlineData("[]", 0)]
    [InlineData("{}", 0)]
    [InlineData("""{"__metadata__":{"a":1}}""", 0)]
    public async Task A_hostile_header_is_refused(string header, int dataBytes) =>
        (await RunAsync(("model.safetensors", SafetensorsBytes.Of(header, dataBytes)))).AssertBadInput();

    [Fact]
    public async Task A_header_of_endless_depth_or_size_is_refused()
    {
        (await RunAsync(("model.safetensors", SafetensorsBytes.Of("{\"a\":" + new string('[', 1_000_000))))).AssertBadInput("model.safetensors");
        string entries = string.Join(',', Enumerable.Range(0, 100_000).Select(i => $"\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"));
        (await RunAsync(("model.safetensors", SafetensorsBytes.Of($"{{{entries}}}", 8)))).AssertBadInput("model.safetensors");
    }

    [Fact]
    public async Task Keys_and_values_that_do_not_fit_are_refused()
    {
        string prompt = string.Concat(Enumerable.Repeat("Agnes Barlow works as a carpenter. ", 200));
        (await Cli.GenerateAsync("--prompt", prompt, "--max-kv-memory", "1")).AssertBadInput("KV");
    }

    private Task<CliResult> RunAsync(params (string Name, byte[]? Bytes)[] changes) =>
        Cli.RunAsync("generate", "--model", _folder.CopyModel(changes), "--prompt", "a", "--max-new-tokens", "1");
}
