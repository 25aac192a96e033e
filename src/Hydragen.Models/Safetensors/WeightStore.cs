namespace Hydragen.Models;

/// <summary>
/// The tensors of a model folder: of <c>model.safetensors</c>, or of the shards that <c>model.safetensors.index.json</c> lists.
/// Index and shards must agree on every tensor; <c>total_size</c> is not relied upon.
/// </summary>
public sealed class WeightStore : IDisposable
{
    private const string SingleFile = "model.safetensors";
    private const string IndexFile = "model.safetensors.index.json";
    private const int MaxShards = 1024;

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, WeightTensor> _tensors = new(StringComparer.Ordinal);

    private WeightStore(string path) => Path = path;

    /// <summary>The single file or the index, for messages.</summary>
    public string Path { get; }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, WeightTensor> Tensors => _tensors;

    /// <summary>Opens the weights of a folder; headers are validated, no data is read.</summary>
    /// <exception cref="ModelFormatException">A file is malformed, or index and shards contradict each other.</exception>
    /// <exception cref="IOException">There are no weights, or a shard is missing.</exception>
    public static WeightStore Open(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string single = System.IO.Path.Combine(folder, SingleFile);
        string index = System.IO.Path.Combine(folder, IndexFile);
        bool isSingle = Exists(single);
        if (!isSingle && !Exists(index))
        {
            throw new FileNotFoundException(
                $"{folder}: there is neither {SingleFile} nor {IndexFile}. Other formats, such as .bin or .pt, are not read; convert them to safetensors.", single);
        }
        var store = new WeightStore(isSingle ? single : index);
        try
        {
            if (isSingle) store.AddSingle(single);
            else store.AddShards(folder);
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>Weights that lie in no file, such as random ones.</summary>
    /// <param name="name">Stands for the path in messages.</param>
    /// <param name="entries">As for <see cref="SafetensorsFile.FromEntries"/>.</param>
    /// <exception cref="ArgumentException">A name appears twice, or a shape is invalid.</exception>
    public static WeightStore FromEntries(string name, IReadOnlyList<SafetensorsEntry> entries)
    {
        var store = new WeightStore(name);
        store.AddTensors(SafetensorsFile.FromEntries(name, entries));
        return store;
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files) file.Dispose();
    }

    private static bool Exists(string path) => File.Exists(path) || Directory.Exists(path) || new FileInfo(path).LinkTarget is not null;

    private void AddSingle(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        _files.Add(file);
        AddTensors(file);
    }

    private void AddShards(string folder)
    {
        Dictionary<string, string> shardOfTensor = WeightIndex.Read(Path);
        var shards = new HashSet<string>(shardOfTensor.Values, StringComparer.Ordinal);
        if (shards.Count > MaxShards) throw new ModelFormatException(Path, $"'weight_map' names {shards.Count} files; at most {MaxShards} are supported");
        foreach (string shard in shards) ShardName.Check(Path, folder, shard);
        foreach (string shard in shards)
        {
            SafetensorsFile file = SafetensorsFile.Open(System.IO.Path.Combine(folder, shard));
            _files.Add(file);
            foreach (string name in file.Tensors.Keys)
            {
                if (!shardOfTensor.TryGetValue(name, out string? listed))
                    throw new ModelFormatException(file.Path, $"tensor '{name}' is not listed in {IndexFile}");
                if (listed != shard) throw new ModelFormatException(file.Path, $"tensor '{name}' is here, but {IndexFile} places it in {listed}");
            }
            AddTensors(file);
        }
        foreach ((string name, string shard) in shardOfTensor)
        {
            if (!_tensors.ContainsKey(name)) throw new ModelFormatException(Path, $"'weight_map' places tensor '{name}' in {shard}, but it is not there");
        }
    }

    private void AddTensors(SafetensorsFile file)
    {
        foreach (SafetensorsTensor tensor in file.Tensors.Values) _tensors.Add(tensor.Name, new WeightTensor(file, tensor));
    }
}
