using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Models.Tests;

/// <summary>A model folder made with transformers, one of its configurations, and the logits expected from it.</summary>
internal sealed class GoldenModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly SafetensorsFile _golden;

    /// <param name="name">Folder name, or folder name and variant, as in <c>llama/yarn</c>.</param>
    public GoldenModel(string name)
    {
        string[] parts = name.Split('/');
        string source = Path.Combine(Root, parts[0]);
        string suffix = parts.Length == 1 ? "" : "." + parts[1];
        _golden = SafetensorsFile.Open(Path.Combine(source, $"golden{suffix}.safetensors"));
        foreach (string file in Directory.GetFiles(source, "model*")) File.Copy(file, _folder.File(Path.GetFileName(file)));
        suffix = suffix.Replace(".incremental", "", StringComparison.Ordinal);
        File.Copy(Path.Combine(source, $"config{suffix}.json"), _folder.File("config.json"));
        string generation = Path.Combine(source, "generation_config.json");
        if (File.Exists(generation)) File.Copy(generation, _folder.File("generation_config.json"));
    }

    public static string Root => Path.Combine(AppContext.BaseDirectory, "golden", "models");

    public string Folder => _folder.Path;

    public int NumSequences => _golden.Tensors.Count / 2;

    /// <summary>Every model and variant there is.</summary>
    public static IEnumerable<string> Names()
    {
        if (!Directory.Exists(Root)) yield break;
        foreach (string folder in Directory.GetDirectories(Root).Order(StringComparer.Ordinal))
        {
            foreach (string file in Directory.GetFiles(folder, "golden*.safetensors").Order(StringComparer.Ordinal))
            {
                string variant = Path.GetFileNameWithoutExtension(file)["golden".Length..].TrimStart('.');
                yield return Path.GetFileName(folder) + (variant.Length == 0 ? "" : "/" + variant);
            }
        }
    }

    public int[] TokenIds(int sequence)
    {
        SafetensorsTensor tensor = _golden.Tensors[$"input_ids.{sequence}"];
        Assert.Equal(SafetensorsDtype.I64, tensor.Dtype);
        var ids = new long[tensor.Shape[0]];
        _golden.Read(tensor, 0, MemoryMarshal.AsBytes(ids.AsSpan()));
        return [.. ids.Select(id => (int)id)];
    }

    public float[] Logits(int sequence)
    {
        SafetensorsTensor tensor = _golden.Tensors[$"logits.{sequence}"];
        var logits = new float[tensor.ByteLength / sizeof(float)];
        _golden.Read(tensor, 0, MemoryMarshal.AsBytes(logits.AsSpan()));
        return logits;
    }

    /// <summary>Runs a sequence in pieces; every piece sees the earlier ones through the cache.</summary>
    public static float[] Run(DecoderModel model, int[] tokenIds, int pieceLength)
    {
        using KvCache cache = model.CreateKvCache(5);
        int[] pages = [3, 1, 4, 0, 2];
        int vocabularySize = model.Configuration.VocabularySize;
        var logits = new float[tokenIds.Length * vocabularySize];
        var builder = new AttentionPlanBuilder();
        for (int first = 0; first < tokenIds.Length; first += pieceLength)
        {
            int count = Math.Min(pieceLength, tokenIds.Length - first);
            builder.Clear();
            builder.AddRows(first, count);
            builder.AddSegment(0, count, pages, 0, first + count, 0, AttentionMask.Causal);
            int[] slots = [.. Enumerable.Range(first, count).Select(t => pages[t / KvCache.PageSize] * KvCache.PageSize + t % KvCache.PageSize)];
            model.Forward(
                tokenIds.AsSpan(first, count), slots, builder.Build(), Enumerable.Range(0, count).ToArray(), cache,
                logits.AsSpan(first * vocabularySize, count * vocabularySize));
        }
        return logits;
    }

    public void Dispose()
    {
        _golden.Dispose();
        _folder.Dispose();
    }
}
