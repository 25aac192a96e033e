using System.Text;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>A call of the engine as rank 0 sends it to the others: everything that decides what is computed.</summary>
internal sealed record EngineCall(EngineCallKind Kind)
{
    private const int MaxDepth = 10_000;

    /// <summary>Number of the prefix that the call makes, frees or continues; −1 for none.</summary>
    public int Prefix { get; init; } = -1;

    /// <summary>Number of the prefix that a new prefix extends; −1 for none.</summary>
    public int Parent { get; init; } = -1;

    /// <summary>Prompts, or the one prompt of a prefix.</summary>
    public IReadOnlyList<PromptNode> Prompts { get; init; } = [];

    /// <summary>Sequences to score.</summary>
    public IReadOnlyList<IReadOnlyList<int>> Inputs { get; init; } = [];

    /// <summary>Options of the call; its seed is set.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Whether all logits are kept.</summary>
    public bool KeepLogits { get; init; }

    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write((byte)Kind);
            writer.Write(Prefix);
            writer.Write(Parent);
            writer.Write(KeepLogits);
            WriteOptions(writer, Options);
            WriteNodes(writer, Prompts);
            writer.Write(Inputs.Count);
            foreach (IReadOnlyList<int> input in Inputs) WriteIds(writer, input);
        }
        return stream.ToArray();
    }

    public static EngineCall FromBytes(byte[] bytes)
    {
        using var reader = new BinaryReader(new MemoryStream(bytes), Encoding.UTF8);
        return new EngineCall((EngineCallKind)reader.ReadByte())
        {
            Prefix = reader.ReadInt32(),
            Parent = reader.ReadInt32(),
            KeepLogits = reader.ReadBoolean(),
            Options = ReadOptions(reader),
            Prompts = ReadNodes(reader, depth: 0),
            Inputs = ReadList<IReadOnlyList<int>>(reader, ReadIds),
        };
    }

    private static void WriteOptions(BinaryWriter writer, GenerationOptions options)
    {
        writer.Write(options.MaxNewTokens);
        writer.Write(options.SamplesPerPrompt);
        writer.Write(options.Seed ?? 0);
        writer.Write(options.IgnoreEos);
        writer.Write(options.LogProbabilities);
        writer.Write((int)options.Sharing);
        writer.Write(options.AllowNoAttention);
        writer.Write(options.MinSharedTokens);
        writer.Write(options.StopStrings.Count);
        foreach (string stop in options.StopStrings) WriteText(writer, stop);
        SamplingOptions sampling = options.Sampling;
        writer.Write(sampling.RepetitionPenalty);
        writer.Write(sampling.FrequencyPenalty);
        writer.Write(sampling.PresencePenalty);
        writer.Write(sampling.Temperature);
        writer.Write(sampling.TopK);
        writer.Write(sampling.TopP);
        writer.Write(sampling.MinP);
    }

    private static GenerationOptions ReadOptions(BinaryReader reader) => new()
    {
        MaxNewTokens = reader.ReadInt32(),
        SamplesPerPrompt = reader.ReadInt32(),
        Seed = reader.ReadUInt64(),
        IgnoreEos = reader.ReadBoolean(),
        LogProbabilities = reader.ReadBoolean(),
        Sharing = (SharingMode)reader.ReadInt32(),
        AllowNoAttention = reader.ReadBoolean(),
        MinSharedTokens = reader.ReadInt32(),
        StopStrings = ReadList(reader, ReadText),
        Sampling = new SamplingOptions
        {
            RepetitionPenalty = reader.ReadSingle(),
            FrequencyPenalty = reader.ReadSingle(),
            PresencePenalty = reader.ReadSingle(),
            Temperature = reader.ReadSingle(),
            TopK = reader.ReadInt32(),
            TopP = reader.ReadSingle(),
            MinP = reader.ReadSingle(),
        },
    };

    private static void WriteNodes(BinaryWriter writer, IReadOnlyList<PromptNode> nodes)
    {
        writer.Write(nodes.Count);
        foreach (PromptNode node in nodes)
        {
            writer.Write(node.TokenIds is not null);
            if (node.TokenIds is not null) WriteIds(writer, node.TokenIds);
            else WriteText(writer, node.Text ?? "");
            writer.Write(node.Samples ?? -1);
            WriteNodes(writer, node.Children);
        }
    }

    private static PromptNode[] ReadNodes(BinaryReader reader, int depth)
    {
        if (depth > MaxDepth) throw new InvalidDataException("The prompts of rank 0 are nested too deeply.");
        return ReadList(reader, source =>
        {
            bool hasIds = source.ReadBoolean();
            int[]? tokenIds = hasIds ? ReadIds(source) : null;
            string? text = hasIds ? null : ReadText(source);
            int samples = source.ReadInt32();
            return new PromptNode { TokenIds = tokenIds, Text = text, Samples = samples < 0 ? null : samples, Children = ReadNodes(source, depth + 1) };
        });
    }

    private static void WriteIds(BinaryWriter writer, IReadOnlyList<int> tokenIds)
    {
        writer.Write(tokenIds.Count);
        foreach (int tokenId in tokenIds) writer.Write(tokenId);
    }

    private static int[] ReadIds(BinaryReader reader) => ReadList(reader, static source => source.ReadInt32());

    /// <summary>UTF-16 as it is: a prompt may hold lone surrogates, and all ranks must see the same.</summary>
    private static void WriteText(BinaryWriter writer, string text)
    {
        writer.Write(text.Length);
        foreach (char unit in text) writer.Write((ushort)unit);
    }

    private static string ReadText(BinaryReader reader) => new(ReadList(reader, static source => (char)source.ReadUInt16()));

    private static T[] ReadList<T>(BinaryReader reader, Func<BinaryReader, T> read)
    {
        int count = reader.ReadInt32();
        if (count < 0 || count > reader.BaseStream.Length - reader.BaseStream.Position)
            throw new InvalidDataException($"A list of the message of rank 0 claims {count} entries.");
        var items = new T[count];
        for (int i = 0; i < count; i++) items[i] = read(reader);
        return items;
    }
}
