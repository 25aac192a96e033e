using System.CommandLine;
using Hydragen.Cli.Output;
using Hydragen.Cli.Ranks;
using Hydragen.Core;

namespace Hydragen.Cli.Commands;

/// <summary>The options that say which model runs and how; the same in every command.</summary>
internal sealed class ModelArguments
{
    public const string EmbeddedModelFolder = "EmbeddedModel";
    private const int MaxThreads = 1024;
    private const long MaxKvMebibytes = 1L << 30;

    /// <summary>What <c>--max-kv-memory</c> is when not given.</summary>
    public const string KvMemoryRule = "half of the memory, or what is free on a GPU";

    private readonly Option<string?> _model;
    private readonly Option<string> _device = DeviceArguments.MakeDevice();
    private readonly Option<string> _computeType = DeviceArguments.MakeComputeType();
    private readonly Option<string> _kvType = DeviceArguments.MakeKvType();
    private readonly Option<string> _prefixKvType = DeviceArguments.MakePrefixKvType();
    private readonly Option<string> _kvScaling = DeviceArguments.MakeKvScaling();
    private readonly Option<string> _weightType = MakeWeightType();
    private readonly Option<int?> _threads = MakeThreads();
    private readonly Option<long?> _maxKvMemory;
    private readonly long? _defaultKvMebibytes;

    /// <param name="command">Receives the options.</param>
    /// <param name="isRequired">Whether the model must be given.</param>
    /// <param name="defaultKvMebibytes">KV memory when not given, as far as the backend proposes so much; null for what it proposes.</param>
    public ModelArguments(Command command, bool isRequired, long? defaultKvMebibytes = null)
    {
        _defaultKvMebibytes = defaultKvMebibytes;
        string defaultMemory = defaultKvMebibytes is null ? KvMemoryRule : $"{defaultKvMebibytes}, at most {KvMemoryRule},";
        _maxKvMemory = Values.OptionalInteger("--max-kv-memory", $"The most KV memory, in MiB; {defaultMemory} when not given.", 1L, MaxKvMebibytes);
        _model = new Option<string?>("--model")
        {
            Description = "Model folder: config.json, safetensors, tokenizer.json." + (isRequired ? "" : " The embedded model when not given."),
            Required = isRequired,
        };
        command.Options.Add(_model);
        command.Options.Add(_device);
        command.Options.Add(_computeType);
        command.Options.Add(_kvType);
        command.Options.Add(_prefixKvType);
        command.Options.Add(_kvScaling);
        command.Options.Add(_weightType);
        command.Options.Add(_threads);
        command.Options.Add(_maxKvMemory);
    }

    public static string EmbeddedModelPath => Path.Combine(AppContext.BaseDirectory, EmbeddedModelFolder);

    public static Option<int?> MakeThreads() => Values.OptionalInteger("--threads", "Threads; one a processor when not given.", 1, MaxThreads);

    public static Option<string> MakeWeightType() => Values.Choice(
        "--weight-type", "Weights as the model stores them, or rounded to INT8 while loading: less memory, and logits that differ a little.",
        WeightType.Model.Name(), WeightType.Model.Name(), WeightType.Int8.Name());

    public static WeightType ParseWeightType(string? name) => name == WeightType.Int8.Name() ? WeightType.Int8 : WeightType.Model;

    /// <summary>Loads the model, with a progress bar on a terminal.</summary>
    public async Task<LanguageModel> LoadAsync(ParseResult parsed, Terminal terminal, CancellationToken cancellationToken)
    {
        string folder = parsed.GetValue(_model) ?? EmbeddedModelPath;
        if (!Directory.Exists(folder))
        {
            throw new InputException(File.Exists(folder)
                ? $"'{folder}' is a file; --model takes the folder that holds config.json, the safetensors and tokenizer.json."
                : $"There is no model folder '{folder}'.");
        }
        string device = parsed.GetValue(_device)!;
        WeightType weightType = ParseWeightType(parsed.GetValue(_weightType));
        DeviceArguments.CheckWeightType(device, weightType);
        IComputeBackend backend = DeviceArguments.CreateBackend(device, parsed.GetValue(_threads));
        var options = new LanguageModelOptions
        {
            ComputeType = DeviceArguments.ParseComputeType(parsed.GetValue(_computeType)),
            KvType = DeviceArguments.ParseKvType(parsed.GetValue(_kvType)),
            PrefixKvType = DeviceArguments.ParseKvType(parsed.GetValue(_prefixKvType)),
            KvScaling = DeviceArguments.ParseKvScaling(parsed.GetValue(_kvScaling)),
            WeightType = weightType,
            MaxKvBytes = (parsed.GetValue(_maxKvMemory) << 20) ?? DefaultKvBytes(backend),
            Backend = backend,
            OwnsBackend = true,
        };
        return await terminal.WithProgressAsync(
            "Loading the model", progress => RankSession.LoadAsync(
                options, shared => LanguageModel.LoadAsync(folder, shared, progress, cancellationToken), cancellationToken));
    }

    private long? DefaultKvBytes(IComputeBackend backend) =>
        _defaultKvMebibytes is null ? null : Math.Min(_defaultKvMebibytes.Value << 20, backend.Memory.DefaultCacheBytes);
}
