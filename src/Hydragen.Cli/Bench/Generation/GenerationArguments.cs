using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that say which model the generation benchmark runs, and over which sweep.</summary>
internal sealed class GenerationArguments
{
    private const string Embedded = "embedded";
    private const int MaxBatch = 4096;
    private const int MaxTokens = 1 << 20;

    private readonly Option<string?> _model = new("--model")
    {
        Description = "Model folder, or 'embedded' for the small model in the program (the default).",
        HelpName = "DIR",
    };

    private readonly Option<string?> _randomModel = new("--random-model")
    {
        Description = "A Llama of this size with random BF16 weights instead.",
        HelpName = ModelSize.Form,
    };

    private readonly Option<int[]> _batch = NumberList.Option("--batch", "Sequences; default 1,8,32,64.", 1, MaxBatch);
    private readonly Option<int[]> _prefix = NumberList.Option("--prefix", "Tokens of the shared prompt; default 1024,4096.", 1, MaxTokens);
    private readonly Option<int[]> _suffix = NumberList.Option("--suffix", "Prompt tokens of each sequence's own behind it; default 0.", 0, MaxTokens);
    private readonly Option<int[]> _newTokens = NumberList.Option("--new-tokens", "New tokens of each sequence; default 32.", 2, MaxTokens);
    private readonly Option<string> _computeType = DeviceArguments.MakeComputeType();
    private readonly Option<string> _kvType = DeviceArguments.MakeKvType();
    private readonly Option<string> _weightType = ModelArguments.MakeWeightType();
    private readonly Option<long?> _maxKvMemory = Values.OptionalInteger(
        "--max-kv-memory", $"The most KV memory, in MiB; {ModelArguments.KvMemoryRule} when not given.", 1L, 1L << 30);

    public GenerationArguments(Command command)
    {
        foreach (Option option in (Option[])[_model, _randomModel, _batch, _prefix, _suffix, _newTokens, _computeType, _kvType, _weightType, _maxKvMemory])
            command.Options.Add(option);
    }

    /// <summary>The size of the random model, or null when there is another.</summary>
    /// <exception cref="InputException">The size is none, or a folder is given as well.</exception>
    public ModelSize? RandomModelSize(ParseResult parsed)
    {
        if (parsed.GetValue(_randomModel) is not { } size) return null;
        if (parsed.GetValue(_model) is not null) throw new InputException("Give --model or --random-model, not both.");
        return ModelSize.Parse(size);
    }

    /// <summary>The folder of the model that is not random.</summary>
    /// <exception cref="InputException">There is no such folder.</exception>
    public string ModelFolder(ParseResult parsed)
    {
        string folder = parsed.GetValue(_model) is { } given and not Embedded ? given : ModelArguments.EmbeddedModelPath;
        return Directory.Exists(folder) ? folder : throw new InputException($"There is no model folder '{folder}'.");
    }

    /// <summary>The type of activations that was asked for; null leaves it to the backend.</summary>
    public ElementType? ComputeType(ParseResult parsed) => DeviceArguments.ParseComputeType(parsed.GetValue(_computeType));

    /// <summary>The type of KV memory that was asked for; null is that of the activations.</summary>
    public ElementType? KvType(ParseResult parsed) => DeviceArguments.ParseKvType(parsed.GetValue(_kvType));

    /// <summary>The KV memory that was asked for, in bytes; null leaves it to the backend.</summary>
    public long? MaxKvBytes(ParseResult parsed) => parsed.GetValue(_maxKvMemory) << 20;

    /// <summary>What is to be measured; what the options leave to the backend has to be filled in.</summary>
    public GenerationSetup Read(ParseResult parsed, SharingMode[] modes, int repeats)
    {
        GenerationCell[] cells =
        [
            .. from newTokens in NumberList.Get(parsed, _newTokens, 32)
               from prefix in NumberList.Get(parsed, _prefix, 1024, 4096)
               from suffix in NumberList.Get(parsed, _suffix, 0)
               from batch in NumberList.Get(parsed, _batch, 1, 8, 32, 64)
               select new GenerationCell(batch, prefix, suffix, newTokens),
        ];
        string name = parsed.GetValue(_randomModel) is { } size ? $"random {size}"
            : parsed.GetValue(_model) is { } folder ? Path.GetFileName(Path.TrimEndingDirectorySeparator(folder)) : Embedded;
        WeightType weightType = ModelArguments.ParseWeightType(parsed.GetValue(_weightType));
        ElementType computeType = ComputeType(parsed) ?? ElementType.Float32;
        return new GenerationSetup(name, computeType, KvType(parsed) ?? computeType, weightType, cells, modes, repeats, MaxKvBytes(parsed) ?? 0);
    }
}
