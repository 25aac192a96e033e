using System.CommandLine;
using Hydragen.Core;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Commands;

/// <summary>The options that say which model runs and how; the same in every command.</summary>
internal sealed class ModelArguments
{
    public const string EmbeddedModelFolder = "EmbeddedModel";

    private readonly Option<DirectoryInfo?> _model;
    private readonly Option<string> _computeType = new("--compute-type")
    {
        Description = "Type of activations and KV memory.",
        DefaultValueFactory = _ => ElementType.Float32.ShortName(),
    };

    private readonly Option<int?> _threads = new("--threads") { Description = "Threads; one a core when not given." };
    private readonly Option<long?> _maxKvMemory = new("--max-kv-memory") { Description = "The most KV memory, in MiB; half of the memory when not given." };

    public ModelArguments(Command command, bool isRequired)
    {
        _model = new Option<DirectoryInfo?>("--model")
        {
            Description = "Model folder: config.json, safetensors, tokenizer.json." + (isRequired ? "" : " The embedded model when not given."),
            Required = isRequired,
        };
        _computeType.AcceptOnlyFromAmong(ElementType.Float32.ShortName(), ElementType.BFloat16.ShortName());
        command.Options.Add(_model);
        command.Options.Add(_computeType);
        command.Options.Add(_threads);
        command.Options.Add(_maxKvMemory);
    }

    public static string EmbeddedModelPath => Path.Combine(AppContext.BaseDirectory, EmbeddedModelFolder);

    /// <summary>Loads the model, with a progress bar on a terminal.</summary>
    public async Task<LanguageModel> LoadAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        string folder = parsed.GetValue(_model)?.FullName ?? EmbeddedModelPath;
        if (!Directory.Exists(folder)) throw new InputException($"There is no model folder '{folder}'.");
        int? threads = parsed.GetValue(_threads);
        if (threads < 1) throw new InputException($"--threads must be at least 1, not {threads}.");
        long? maxKvMemory = parsed.GetValue(_maxKvMemory);
        if (maxKvMemory is < 1 or > long.MaxValue >> 20) throw new InputException($"--max-kv-memory must be a number of MiB, 1 or more, not {maxKvMemory}.");
        var options = new LanguageModelOptions
        {
            ComputeType = parsed.GetValue(_computeType) == ElementType.BFloat16.ShortName() ? ElementType.BFloat16 : ElementType.Float32,
            NumThreads = threads,
            MaxKvBytes = maxKvMemory << 20,
        };
        return await Terminal.WithProgressAsync(
            "Loading the model", progress => LanguageModel.LoadAsync(folder, options, progress, cancellationToken));
    }
}
